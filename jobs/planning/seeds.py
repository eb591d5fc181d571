"""Seeds: one number from everything that tells one stage of one chunk from another."""

from __future__ import annotations

import hashlib
import json

SEED_BITS = 63
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def derive_seed(root: int, *parts: str | int) -> int:
    """A 63-bit seed: the first bits of the SHA-256 of `[root, *parts]` as JSON.

    `parts` are the video's name in the spec, the shot's key, the index within the shot, and the stage.
    """
    text = _ENCODER.encode([root, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - SEED_BITS)

"""The header of a safetensors file: what it holds, without reading a tensor."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 100 << 20


def read_header(path: Path) -> dict[str, Any]:
    """Tensors by name (`dtype`, `shape`) and `__metadata__`. Raises OSError, or ValueError where there is no
    header."""
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError("no safetensors header")
        (length,) = struct.unpack("<Q", prefix)
        if length > MAX_HEADER_BYTES:
            raise ValueError("no safetensors header")
        return _parsed(file.read(length))


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("no safetensors header") from None
    if not isinstance(header, dict):
        raise ValueError("no safetensors header")
    return header

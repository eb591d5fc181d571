"""One spelling of every value, so that equal values have equal hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks; dataclasses become objects, floats are exact."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_object)


def sha256_of(value: Any) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _as_object(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}

"""One spelling of every value, so that equal values have equal hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Hashable
from functools import cache
from typing import Any, cast


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks; dataclasses become objects, floats are exact."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_object)


def sha256_of(value: Any) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _as_object(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in _names(type(value))}


@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cast(type, kind)))

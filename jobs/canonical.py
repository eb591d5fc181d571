"""One spelling of every value, so that equal values have equal hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

LATER: Mapping[str, bool] = {"later": True}
"""Metadata of a field that a dataclass was given after values of it had been hashed: at its default it is
left out, so that their hashes stay."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no blanks; dataclasses become objects, floats are exact."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=as_object)


def sha256_of(value: Any) -> str:
    """SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def as_object(value: Any) -> dict[str, Any]:
    """What of a dataclass is hashed."""
    every = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        field.name: held for field, held in every if not ("later" in field.metadata and held == field.default)
    }

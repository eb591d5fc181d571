"""The commit record: the small file whose exclusive creation makes a result count."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHECK = "check"


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed stage result: the handle that crosses processes.

    `file` is the artifact's key in the job's store, `size` in bytes, `sha256` of its contents, `stamp` the
    medium's mark of when it was written (a changed stamp makes readers hash it again), `provenance` who made
    it and how.
    """

    digest: str
    file: str
    size: int
    sha256: str
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    stamp: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "file": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "provenance": dict(self.provenance),
            "stamp": self.stamp,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Commit:
        return cls(
            digest=str(value["digest"]),
            file=str(value["file"]),
            size=int(value["size"]),
            sha256=str(value["sha256"]),
            provenance=value["provenance"],
            stamp=str(value["stamp"]),
        )


def seal(value: Mapping[str, Any]) -> bytes:
    """JSON bytes that carry their own SHA-256, so that a torn or altered file is recognised."""
    body = {key: item for key, item in value.items() if key != CHECK}
    return json.dumps({**body, CHECK: _check(body)}, indent=1).encode() + b"\n"


def unseal(data: bytes) -> dict[str, Any] | None:
    """What `seal` was given, or None where the bytes are not whole."""
    try:
        value = json.loads(data, object_pairs_hook=_intern)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.pop(CHECK, None) != _check(value):
        return None
    return value


def encode_commit(commit: Commit) -> bytes:
    return seal(commit.to_json())


def decode_commit(data: bytes, digest: str) -> Commit | None:
    """The record of `digest`, or None where the bytes are not whole or belong to another digest."""
    value = unseal(data)
    if value is None:
        return None
    try:
        commit = Commit.from_json(value)
    except (KeyError, TypeError, ValueError):
        return None
    return commit if commit.digest == digest else None


def _check(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _intern(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Ten thousand records repeat the same keys, hosts and versions; sharing them keeps the driver small.
    return {sys.intern(key): sys.intern(item) if isinstance(item, str) else item for key, item in pairs}

"""The commit record: the small file whose exclusive creation makes a result count.

Names that documents give to files of a run directory are checked where they are read, before anything is
opened or deleted by one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import Field

from jobs.records import Form, Unreadable

ARTIFACTS = "artifacts"
_NAME = r"[0-9A-Za-z_-]{1,128}"

Digest = Annotated[str, Field(pattern=rf"^{_NAME}\z")]
"""What names a result and its records."""

ArtifactFile = Annotated[str, Field(pattern=rf"^{ARTIFACTS}/{_NAME}(\.[0-9A-Za-z_-]+)+\z")]
"""An artifact's key in its run directory."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed stage result: the handle that crosses processes.

    `file` is the artifact's key in the job's store, `size` in bytes, `sha256` of its contents, `stamp` the
    medium's mark of when it was written (a changed stamp makes readers hash it again), `provenance` who made
    it and how.
    """

    digest: Digest
    file: ArtifactFile
    size: int
    sha256: str
    provenance: Mapping[str, Any] = field(default_factory=dict, hash=False)
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Digests of results that a whole reading of the store found damaged: the next check reads them again,
    whatever their stamps say."""

    digests: tuple[str, ...] = ()


COMMIT_FORM = Form("commit record", Commit)
SUSPECTS_FORM = Form("suspects.json", Suspects)


def encode_commit(commit: Commit) -> bytes:
    return COMMIT_FORM.encode(commit)


def decode_commit(data: bytes, digest: str) -> Commit | None:
    """The record of `digest`, or None where the bytes are not whole, belong to another digest, or name a file
    that is none of this digest's.

    Raises NewerFormat.
    """
    try:
        commit = COMMIT_FORM.decode(data)
    except Unreadable:
        return None
    own = commit.digest == digest and commit.file.startswith(f"{ARTIFACTS}/{digest}.")
    return replace(commit, provenance=_shared(commit.provenance)) if own else None


def _shared(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Ten thousand records repeat the same hosts and versions; sharing them keeps the driver small."""
    return {
        sys.intern(key): sys.intern(value) if isinstance(value, str) else value
        for key, value in provenance.items()
    }

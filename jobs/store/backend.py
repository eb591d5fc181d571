"""Where bytes live: a small seam under the store.

The one thing it asks of a medium beyond files is exclusive create.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

LOCK = "lock"
"""The folder of the lock files: from the first render on it is there for as long as the job is."""

RESERVE = ".reserve"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file. `stamp` changes whenever the file is written again (mtime, ETag or generation)."""

    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run directory lies, to tell a copy from the directory itself: its path, which differs between
    mounts, and its inode, which does not (0 where the medium has none)."""

    path: str = ""
    inode: int = 0

    def is_other(self, known: Place) -> bool:
        """Whether this is another directory than the one that was noted as `known`."""
        if not known.path or known.path == self.path:
            return False
        return not known.inode or known.inode != self.inode


class Backend(Protocol):
    """Keys are relative to the job's directory, with `/` between parts.

    `refusals` are the exceptions with which the medium says that it cannot be used.
    """

    url: str
    appends: bool
    single_process: bool
    refusals: tuple[type[Exception], ...]

    def place(self) -> Place:
        """Where the job's directory lies."""
        ...

    def path(self, key: str) -> Path | None:
        """The file behind `key` where it is an ordinary local file, else None."""
        ...

    def read(self, key: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The files that exist, by key."""
        ...

    def write(self, key: str, data: bytes | memoryview | Path) -> Entry:
        """Write a file whose name is used once; durable on return."""
        ...

    def create(self, key: str, data: bytes) -> bool:
        """Create `key` whole or not at all; False where it exists already. Atomic between all writers.

        `data` names its writer: what stands there byte for byte is taken for this call's own, whose answer
        was lost on the way.
        """
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write or overwrite; readers see the old bytes or the new ones."""
        ...

    def append(self, key: str, data: bytes) -> None:
        """Add to the end of a file that has one writer (only where `appends`)."""
        ...

    def touch(self, key: str, data: bytes) -> None:
        """Renew the stamp of a file that is there; writes `data` only where that needs bytes."""
        ...

    def delete(self, key: str) -> bool:
        """False where nothing was there."""
        ...

    def entries(self, folder: str) -> dict[str, Entry]:
        """The files directly in `folder`, by name; empty where it does not exist."""
        ...

    def stat(self, key: str) -> Entry | None: ...

    def leftovers(self, older_s: float) -> list[str]:
        """Temporary files of writers that were killed: those that were last written long before the newest
        file that is there."""
        ...

    def folders(self) -> list[str]:
        """Names of the folders beside this job's: the other jobs of the runs directory."""
        ...

    def remove_folders(self, names: Iterable[str]) -> tuple[str, ...]:
        """Remove these folders, then the job's own, each where it is empty; the files that are left."""
        ...

    def free_bytes(self) -> int | None:
        """What the medium still takes, where it can say."""
        ...

    def keep_reserve(self) -> None:
        """Hold a little space back, so that state and events can still be written on a full disk."""
        ...


TEMPORARY = re.compile(r"\.(.+\.[0-9a-f]{12}|probe-[0-9a-f]{16}|farm-probe-[0-9a-f]{32}(\.[0-9a-f]{8})?)\Z")
"""Names of files that are there only while something is written or tried."""


def leftovers_among(written_s: Mapping[str, float], older_s: float) -> list[str]:
    """Of the files by key, with the medium's times, those that `Backend.leftovers` gives."""
    now_s = max(written_s.values(), default=0.0)
    hidden = (key for key in written_s if TEMPORARY.match(key.rpartition("/")[2]))
    return sorted(key for key in hidden if now_s - written_s[key] > older_s)


def remove(path: Path) -> bool:
    """Delete a file; False where nothing was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True

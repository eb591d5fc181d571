"""The files of a lock: who took the job, and when that was renewed last."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from jobs.records import Form, Unreadable
from jobs.store.backend import LOCK, Backend, Place
from jobs.store.process import Process


@dataclass(frozen=True, slots=True)
class Holder:
    """What the lock file says: which user's process took the job, when and where it lay, and when the lock
    was renewed last."""

    generation: int
    token: str
    host: str
    process: Process
    since_s: float
    released: bool = False
    beat_s: float = 0.0
    place: Place = field(default_factory=Place)
    user: str = ""

    def who(self) -> str:
        of = f" of {self.user}" if self.user else ""
        return f"process {self.process.pid}{of} on {self.host}"


LOCK_FORM = Form("lock", Holder)


@dataclass(frozen=True, slots=True)
class Beat:
    """The last renewal: the holder's clock (or the file server's), and the medium's mark of it."""

    at_s: float
    stamp: str


def read_holder(backend: Backend) -> Holder | None:
    """Who holds the lock, or held it last; None where nobody ever did."""
    numbers = sorted(n for n in map(generation_of, backend.entries(LOCK)) if n is not None)
    for number in reversed(numbers):
        try:
            return _decode(backend.read(lock_key(number)), number)
        except FileNotFoundError:
            continue
    return None


def last_beat(backend: Backend, generation: int) -> Beat:
    key = lock_key(generation)
    entry = backend.stat(key)
    if entry is None:
        return Beat(0.0, "")
    if backend.path(key) is not None:
        return Beat(int(entry.stamp) / 1e9, entry.stamp)
    try:
        beat_s = _decode(backend.read(key), generation).beat_s
    except FileNotFoundError:
        beat_s = 0.0
    return Beat(beat_s, f"{entry.stamp}/{beat_s}")


def encode_holder(holder: Holder, beat_s: float | None = None) -> bytes:
    return LOCK_FORM.encode(replace(holder, beat_s=holder.since_s if beat_s is None else beat_s))


def _decode(data: bytes, generation: int) -> Holder:
    """The holder; a torn file still counts as a lock, of a process nobody knows."""
    try:
        return replace(LOCK_FORM.decode(data), generation=generation)
    except Unreadable:
        return Holder(generation, "", "an unknown host", Process(0, "", ""), 0.0)


def lock_key(generation: int) -> str:
    return f"{LOCK}/{generation:08d}.json"


def generation_of(name: str) -> int | None:
    stem = Path(name).stem
    return int(stem) if stem.isdigit() else None

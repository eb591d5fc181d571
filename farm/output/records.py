"""What a job wrote into its output folder, as its run directory has it: a record for each name.

A record is on the disk before anything of that name is touched. It knows what it tells of by its content,
so it still holds when films and runs are moved. Every driver writes files of its own, and the records of a
name are all of them together: a driver that lost the job and does not know it yet takes nothing from its
successor's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from actors.media.process import sync
from farm.state.job_state import STATE_FORM
from jobs.planning.output_names import is_temporary, version_name, version_of
from jobs.records import Form, Unreadable

if TYPE_CHECKING:
    from farm.output.outlet import ExistingOutput, Outlet
    from jobs.store.store import Store

OUTPUTS = "outputs"
MOST_REMEMBERED = 32
"""Marks of one name: what it was in other output folders, and versions whose writing broke off."""
LEAST_BEGINNING_BYTES = 1024
"""A shorter beginning is that of many files; a preview's first fragment is longer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing that the job wrote at `address`.

    `size` and `stamp` as in `ExistingOutput`; `sha256` of the file, or of the manifest of a PNG sequence.
    `grows`: `size` and `sha256` are those of its beginning, to which only more was added. A film that only
    `state.json` knows has no `size` (None).
    """

    address: str
    size: int | None
    stamp: str
    sha256: str
    grows: bool = False

    def fits(self, found: ExistingOutput, sha256: Callable[[int | None], str]) -> bool:
        """Whether `found` is what was written; `sha256(first_bytes)` reads it."""
        if self.grows:
            telling = self.size is not None and found.size >= self.size >= LEAST_BEGINNING_BYTES
            return telling and sha256(self.size) == self.sha256
        if self.size is not None and self.size != found.size:
            return False
        return self.has_stamp(found) or sha256(None) == self.sha256

    def has_stamp(self, found: ExistingOutput) -> bool:
        """Whether `found` was not written again since."""
        return self.stamp == found.stamp != "" and self.size == found.size


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """What one name of the output folder may stand for, and addresses at which something of it was being
    made."""

    name: str
    marks: tuple[Mark, ...] = ()
    temporary: tuple[str, ...] = ()

    def knows(self, outlet: Outlet, name: str, found: ExistingOutput) -> bool:
        """Whether what stands at `name` was written by this job."""
        return self.mark_of(outlet, name, found) is not None

    def mark_of(self, outlet: Outlet, name: str, found: ExistingOutput) -> Mark | None:
        """The mark of what stands at `name`, where this job wrote it."""
        read = cache(lambda first_bytes: outlet.sha256(name, first_bytes))
        return next((mark for mark in reversed(self.marks) if mark.fits(found, read)), None)

    def plus(self, marks: Iterable[Mark], temporary: Iterable[str]) -> OutputRecord:
        """With these, the newest last; each is remembered once."""
        every = dict.fromkeys((*self.marks, *marks))
        hidden = dict.fromkeys((*self.temporary, *temporary))
        return OutputRecord(self.name, tuple(every)[-MOST_REMEMBERED:], tuple(hidden)[-MOST_REMEMBERED:])


RECORD_FORM = Form("output record", OutputRecord)


class OutputRecords:
    """The records of one job, read once; one driver writes them from one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = secrets.token_hex(8)
        self._files: dict[str, list[str]] = {}
        self._known: dict[str, OutputRecord] | None = None

    def of(self, name: str) -> OutputRecord:
        """The record of `name`, an empty one where nothing was ever written."""
        return self._read().get(name) or OutputRecord(name)

    def versions(self, film: str) -> list[tuple[int, OutputRecord]]:
        """What was delivered as `film` and has another name since: each with its number, newest first."""
        every = ((version_of(film, record.name), record) for record in self.every())
        numbered = ((number, record) for number, record in every if number is not None)
        return sorted(numbered, key=lambda each: each[0], reverse=True)

    def next_version(self, film: str) -> str:
        """The name that it has once it is replaced."""
        return version_name(film, max((number for number, _ in self.versions(film)), default=0) + 1)

    def every(self) -> list[OutputRecord]:
        """All records that there are."""
        return list(self._read().values())

    def write(self, record: OutputRecord) -> None:
        """Keeps the record in place of what was known of its name; it is durable on return."""
        self._read()[record.name] = record
        key = f"{OUTPUTS}/{record.name}.{self._token}.json"
        self._store.save(RECORD_FORM, record, key)
        if (path := self._store.backend.path(key)) is not None:
            sync(path.parent)
        for older in self._files.pop(record.name, ()):
            self._store.backend.delete(older)

    def _read(self) -> dict[str, OutputRecord]:
        if self._known is None:
            self._known = dict(self._delivered())
            keys = [f"{OUTPUTS}/{file}" for file in self._store.backend.entries(OUTPUTS)]
            for key, data in sorted(self._store.backend.read_many(keys).items()):
                record = _parsed(data)
                if record is not None and _is_of(record, key):
                    before = self._known.get(record.name, OutputRecord(record.name))
                    self._known[record.name] = before.plus(record.marks, record.temporary)
                    self._files.setdefault(record.name, []).append(key)
        return self._known

    def _delivered(self) -> Iterator[tuple[str, OutputRecord]]:
        """What `state.json` says was delivered: it stands for records that are lost."""
        state = self._store.recall(STATE_FORM)
        for file in (file for film in (state.videos if state else ()) for file in film.files):
            name = file.path.rpartition("/")[2]
            yield name, OutputRecord(name, (Mark(file.path, None, "", file.sha256),))


def _is_of(record: OutputRecord, key: str) -> bool:
    """Whether a record tells only of what its file is named after: a run directory may be somebody else's."""
    name = record.name
    hidden = all(is_temporary(address.rpartition("/")[2], name) for address in record.temporary)
    return hidden and "/" not in name and key.startswith(f"{OUTPUTS}/{name}.")


def _parsed(data: bytes) -> OutputRecord | None:
    """None for a damaged record: it makes nothing the job's own."""
    try:
        return RECORD_FORM.decode(data)
    except Unreadable:
        return None

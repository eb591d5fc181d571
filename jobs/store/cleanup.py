"""Deleting what a run directory holds: files of the farm, by their names. Whatever else lies there stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.store.backend import LOCK, RESERVE, Entry
from jobs.store.chosen import APPROVALS, PICKS, SEEDS, SEEDS_COPY
from jobs.store.commits import SUSPECTS_FORM
from jobs.store.documents import (
    ARTIFACTS,
    COMMITS,
    DIGESTS,
    EVENTS,
    EVICTED,
    LOCKED,
    NOTIFY,
    PLAN,
    REQUESTS,
    SPEC,
    STATE,
)
from jobs.store.store import ARTIFACT_NAME, LEFTOVER_S, Store

if TYPE_CHECKING:
    from jobs.store.lock import JobLock

OUTPUTS, REPORT = "outputs", "report.html"
RECORD_NAME = re.compile(r"([0-9a-f]{64})\.json\Z")
NAMES = {
    COMMITS: RECORD_NAME,
    EVICTED: RECORD_NAME,
    ARTIFACTS: ARTIFACT_NAME,
    APPROVALS: RECORD_NAME,
    PICKS: re.compile(r".+\.json\Z"),
    REQUESTS: re.compile(r"[a-z]+(-\d{20}-[0-9a-f]{6})?\.json\Z"),
    EVENTS: re.compile(r"\d{20}-[0-9a-f]{6}.*\.jsonl\Z"),
    OUTPUTS: re.compile(r".+\.[0-9a-f]{16}\.json\Z"),
}
"""By folder, in the order of their deletion: what the farm calls its files there."""

RESULTS = (COMMITS, EVICTED, ARTIFACTS)
DOCUMENTS = (
    SUSPECTS_FORM.name, NOTIFY, REPORT, RESERVE, SEEDS, SEEDS_COPY, LOCKED, DIGESTS, PLAN, STATE, SPEC,
)  # fmt: skip
"""What makes the directory a job comes last: until then an interrupted deletion can be repeated."""


@dataclass(frozen=True, slots=True)
class Files:
    """Keys in the order in which they may be deleted: a record before its artifact; their size in bytes."""

    keys: tuple[str, ...] = ()
    bytes: int = 0

    def __add__(self, more: Files) -> Files:
        return Files((*self.keys, *more.keys), self.bytes + more.bytes)


def result_files(store: Store) -> Files:
    """Every commit, history of an evicted one, and artifact."""
    return _sum(_listed(store, folder) for folder in RESULTS)


def unreferenced_files(store: Store, wanted: Set[str]) -> Files:
    """Results of other digests than the `wanted` ones, artifacts that no commit names, and hidden files of
    killed writers."""
    records = [_listed(store, folder) for folder in (COMMITS, EVICTED)]
    stale = [{key: size for key, size in found.items() if _digest(key) not in wanted} for found in records]
    named = {commit.file for digest, commit in store.check().commits.items() if digest in wanted}
    artifacts = {key: size for key, size in _listed(store, ARTIFACTS).items() if key not in named}
    hidden = dict.fromkeys(store.backend.leftovers(LEFTOVER_S), 0)
    return _sum([*stale, artifacts, hidden])


def other_files(store: Store) -> Files:
    """The rest of what the farm wrote there, but for the lock: documents, events, requests, records of
    outputs."""
    folders = [_listed(store, folder) for folder in NAMES if folder not in RESULTS]
    hidden = dict.fromkeys(store.backend.leftovers(0.0), 0)
    found = {name: store.backend.stat(name) for name in DOCUMENTS}
    documents = {name: entry.size for name, entry in found.items() if entry is not None}
    return _sum([*folders, hidden, documents])


def remove(store: Store, files: Files, lock: JobLock) -> int:
    """Delete the files while the lock is held; returns how many there were. Raises JobBusy once it is not."""
    removed = 0
    for key in files.keys:
        lock.check()
        removed += store.backend.delete(key)
    return removed


def remove_folders(store: Store, lock: JobLock) -> tuple[str, ...]:
    """Give the lock up with its files, and delete the folders that are empty; what is left, by name."""
    lock.remove()
    return store.backend.remove_folders((*NAMES, LOCK))


def _listed(store: Store, folder: str) -> dict[str, int]:
    """Sizes of the farm's files of a folder, by key."""
    entries: dict[str, Entry] = store.backend.entries(folder)
    return {f"{folder}/{name}": entry.size for name, entry in entries.items() if NAMES[folder].match(name)}


def _digest(key: str) -> str:
    found = RECORD_NAME.match(key.rpartition("/")[2])
    return found[1] if found else ""


def _sum(parts: Iterable[Mapping[str, int]]) -> Files:
    return sum((Files(tuple(part), sum(part.values())) for part in parts), start=Files())

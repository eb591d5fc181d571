"""Run directories as the page reads them: again and again, so a plan is parsed once, and a list kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.state.event_log import EventLog
from farm.state.job_state import LIVE
from farm.verbs.listing import JobRow, row_of
from farm.verbs.run import JobDocuments
from farm.verbs.status import status_of
from jobs.store.backend import LOCK
from jobs.store.documents import EVENTS, PLAN, REFUSED, REQUESTS, STATE
from jobs.store.store import Store

if TYPE_CHECKING:
    from farm.page.config import PageConfig

MOST_KNOWN = 8


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A row of the list; `eta_s` are the seconds that are left, None where that is unknown."""

    row: JobRow
    eta_s: float | None = None


class Reader:
    """What stands in the run directories of one runs directory. Its methods block, and may be called from
    any thread."""

    def __init__(self, config: PageConfig) -> None:
        self.runs = config.runs
        self._known: dict[str, JobDocuments] = {}
        self._rows: dict[str, tuple[object, ListedJob]] = {}
        self._lock = threading.Lock()

    def open(self, job: str) -> JobDocuments:
        """The job as it stands now. Raises UsageError where there is none."""
        store = Store.find(self.runs, job)
        with self._lock:
            run = self._known[job] = JobDocuments(store, self._known.pop(job, None))
            while len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return run

    def jobs(self) -> list[ListedJob]:
        """Every job, those that are rendered first, then the newest."""
        listed = [self._listed(store) for store in Store.every(self.runs)]
        names = {each.row.job for each in listed}
        self._rows = {job: kept for job, kept in self._rows.items() if job in names}
        return sorted(
            listed,
            key=lambda each: (each.row.outcome not in LIVE, -(each.row.started_s or 0.0), each.row.job),
        )

    def _listed(self, store: Store) -> ListedJob:
        stamp, kept = _stamp(store), self._rows.get(store.job_id)
        if kept is not None and kept[0] == stamp and kept[1].row.outcome not in LIVE:
            return kept[1]
        run = JobDocuments(store)
        row = row_of(run)
        listed = ListedJob(row, _eta_s(run) if row.outcome in LIVE else None)
        self._rows[store.job_id] = stamp, listed
        return listed


def _eta_s(run: JobDocuments) -> float | None:
    return status_of(run, list(EventLog(run.store, newest_run=True))).eta_s


def _stamp(store: Store) -> object:
    """Another one whenever the row may be; a driver that dies is seen by looking at its lock."""
    backend = store.backend
    files = [backend.stat(name) for name in (STATE, PLAN, REFUSED)]
    folders = [sorted(backend.entries(name).items()) for name in (LOCK, EVENTS, REQUESTS)]
    return files, folders

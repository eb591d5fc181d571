"""`state.json` while its job renders: written by the driver that holds the lock, and by nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.state.job_state import (
    INTERRUPTED,
    PAUSED,
    RUNNING,
    STATE_FORM,
    FailedTask,
    JobState,
    WaitingFor,
)
from farm.state.requests import ANSWERED
from jobs.errors import StorageProblem
from jobs.store.documents import UserRequest

if TYPE_CHECKING:
    from jobs.store.lock import JobLock
    from jobs.store.store import Store

INTERVAL_S = 2.0


class StateFile:
    """`now` is how the job stands. Writing raises JobBusy where the job is somebody else's by now: how it
    stands is then theirs to say."""

    def __init__(self, store: Store, lock: JobLock, now: JobState) -> None:
        self.now = now
        self._store, self._lock = store, lock
        self._written_s = 0.0

    @property
    def running(self) -> bool:
        """Nobody has said yet how the job ends."""
        return self.now.outcome == RUNNING

    def change(self, **fields: Any) -> None:
        """Other values for some fields, written with the next `write`."""
        self.now = replace(self.now, **fields)

    def waits(self, waiting: WaitingFor | None) -> None:
        """The job waits for its first worker, or no longer."""
        if waiting != self.now.waiting:
            self.change(waiting=waiting)
            self.write()

    def count_committed(self, attempt: int) -> None:
        """One more task is done, by this attempt."""
        counts = self.now.tasks
        retried = counts.retried + (attempt > 1)
        self.change(tasks=replace(counts, committed=counts.committed + 1, retried=retried))

    def add_failed(self, lost: Iterable[FailedTask]) -> None:
        """Tasks that are quarantined."""
        self.change(failed=(*self.now.failed, *lost))

    def write(self) -> None:
        """Puts it where everybody reads it."""
        self._lock.confirm()
        self._store.save(STATE_FORM, self.now)
        self._written_s = time.monotonic()

    def write_sometimes(self) -> None:
        """Writes what has changed every few seconds."""
        if time.monotonic() - self._written_s >= INTERVAL_S:
            self.write()

    def end(self, outcome: str, reason: str, exact: bool) -> None:
        """The job ends, and the requests that this settles are taken back. Where nothing can be written, only
        the last event says it: a job that would have been settled is paused there."""
        self.change(outcome=outcome, reason=reason, ended_s=time.time(), exact=exact, waiting=None)
        try:
            self.write()
        except StorageProblem as problem:
            if outcome not in (PAUSED, INTERRUPTED):
                self.change(outcome=PAUSED, reason=str(problem))
        else:
            self._take_back(ANSWERED.get(outcome, ()))

    def take_back_requests(self) -> None:
        """The driver that takes the job over has acted on every request."""
        for request in UserRequest:
            self._store.clear_request(request)

    def _take_back(self, requests: Iterable[UserRequest]) -> None:
        try:
            for request in requests:
                self._store.clear_request(request)
        except StorageProblem:
            # The next driver finds it settled.
            return

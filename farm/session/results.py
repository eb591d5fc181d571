"""What workers made, as it counts for the job: once each, for every task that shares it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from farm.events import Event, TaskCommitted, TaskFailed, TaskSuperseded
from farm.state.job_state import FailedTask, TaskCounts
from jobs.wording import amount

if TYPE_CHECKING:
    from actors.worker.order import TaskResult
    from farm.session.eviction import Evictions
    from farm.session.films import Films
    from farm.session.ledger import Ledger
    from farm.session.state_file import StateFile
    from jobs.store.store import Store


class Results:
    """`record` appends an event to the job's log and gives it back; `keep_frames` is `run.keep: all`."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        state: StateFile,
        films: Films,
        evictions: Evictions,
        record: Callable[[Any], Any],
        *,
        keep_frames: bool,
    ) -> None:
        self._store, self._ledger, self._state = store, ledger, state
        self._films, self._evictions, self._record = films, evictions, record
        self._keep_frames = keep_frames

    def survey(self) -> str:
        """Reads the store once: what counts, what is left to do; returns what is said of damage."""
        checked = self._store.check()
        if checked.damage:
            self._store.void(digest for digest, _ in checked.damage)
        self._store.sweep(checked)
        for task in self._ledger.survey(checked.commits, self._store.evicted()):
            self._retire(task)
        scoped = self._ledger.scoped
        reused = len(scoped) - len(set(self._ledger.left).intersection(scoped))
        self._state.change(tasks=TaskCounts(total=len(scoped), reused=reused))
        if not checked.damage:
            return ""
        return f"{amount(len(checked.damage), 'damaged artifact')} discarded and rendered again"

    def take(self, result: TaskResult, worker: str, attempt: int) -> Iterator[Event]:
        """Takes a committed result, for the task and its duplicates: it counts, and orders may name it.
        `settle` follows. One that is here already counts once."""
        family = self._ledger.keep(result.task, result.commit)
        if not family:
            yield self._record(TaskSuperseded(result.task, worker, attempt))
            return
        self._state.count_committed(attempt)
        exact = self._ledger.is_exact(result.task)
        for task in family:
            seconds = result.seconds if task == result.task else 0.0
            yield self._record(TaskCommitted(task, worker, attempt, seconds, result.commit.size, exact))

    def settle(self, task: str) -> None:
        """What follows from a result that was taken: frames that nobody needs are evicted, complete films
        go to delivery."""
        for duplicate in self._ledger.duplicates.family(task):
            self._retire(duplicate)
            self._films.committed(duplicate)

    def failed(self, failure: TaskFailed, quarantined: bool) -> TaskFailed:
        """Takes a failed attempt; with `quarantined` the task and its duplicates count as failed in
        `state.json`."""
        if quarantined:
            family = self._ledger.duplicates.family(failure.task)
            self._state.add_failed(FailedTask(task, failure.kind, failure.message) for task in family)
        recorded: TaskFailed = self._record(failure)
        return recorded

    def lose(self, task: str) -> None:
        """Forgets a commit whose artifact turned out damaged; it has to be rendered again."""
        self._store.void([self._ledger.digests[task]])
        self._ledger.forget(task)

    def _retire(self, task: str) -> None:
        """Evicts decoded frames and canvases once all that read them are committed."""
        if not self._keep_frames:
            for commit in self._ledger.retire(task):
                self._evictions.add(commit)

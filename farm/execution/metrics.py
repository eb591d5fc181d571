"""From a job's events to the numbers that are scraped: where its tasks and workers are, and what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from farm.events import (
    Event,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
)
from farm.state.attempts import Activity, Change, Holdings
from jobs.planning.params import SegmentParams

if TYPE_CHECKING:
    from farm.session.session import JobSession

WAITING, READY, RUNNING, COMMITTED, QUARANTINED = "waiting", "ready", "running", "committed", "quarantined"
STATES = (WAITING, READY, RUNNING, COMMITTED, QUARANTINED)


class Instruments(Protocol):
    """Where the numbers go."""

    def tasks(self, stage: str, state: str, count: int) -> None: ...
    def committed(self, worker: str, stage: str, seconds: float, size_bytes: int) -> None: ...
    def failed(self, stage: str, kind: str) -> None: ...
    def workers(self, state: str, count: int) -> None: ...
    def busy(self, worker: str, has_task: bool) -> None: ...
    def frames(self, count: int) -> None: ...


def metered(events: Iterable[Event], session: JobSession, instruments: Instruments) -> Iterator[Event]:
    """The same events, counted on their way."""
    metrics = JobMetrics(session, instruments)
    for event in events:
        metrics.take(event)
        yield event


class JobMetrics:
    """States of tasks and workers. A task is `ready` when all its needs are committed: the queue's depth."""

    def __init__(self, session: JobSession, instruments: Instruments) -> None:
        self.session, self.out = session, instruments
        self.state: dict[str, str] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.holdings = Holdings()
        self.activity: dict[str, Activity] = {}

    def take(self, event: Event) -> None:
        """Counts one event."""
        change = self.holdings.apply(event, 0.0)
        match event:
            case JobPlanned():
                self._plan()
            case TaskCommitted():
                self._commit(event)
            case TaskFailed():
                self.out.failed(self._stage(event.task), event.kind)
                if event.then.startswith("quarantined"):
                    self._move(event.task, QUARANTINED)
        self._move_held(change)
        self._count_workers()

    def _plan(self) -> None:
        todo = self.session.ledger.waiting
        self.state.clear()
        self.counts.clear()
        for task in self.session.ledger.scoped:
            self.state[task] = WAITING if task in todo else COMMITTED
        for task in todo:
            self.state[task] = self._open(task)
        self.counts.update((self._stage(task), state) for task, state in self.state.items())
        for stage in {stage for stage, _ in self.counts}:
            for state in STATES:
                self.out.tasks(stage, state, self.counts[stage, state])

    def _open(self, task: str) -> str:
        needs = (self.state.get(need.task, COMMITTED) for need in self.session.graph.tasks[task].needs)
        return READY if all(state == COMMITTED for state in needs) else WAITING

    def _move(self, task: str, state: str) -> None:
        before = self.state.get(task)
        if before in (None, state):
            return
        self.state[task], stage = state, self._stage(task)
        for changed, step in ((before, -1), (state, 1)):
            self.counts[stage, changed] += step
            self.out.tasks(stage, changed, self.counts[stage, changed])

    def _commit(self, event: TaskCommitted) -> None:
        task = self.session.graph.tasks[event.task]
        self.out.committed(event.worker, task.stage.value, event.seconds, event.bytes)
        if isinstance(task.params, SegmentParams):
            self.out.frames(task.params.owned_frames)
        self._move(event.task, COMMITTED)
        for reader in self.session.graph.dependents[event.task]:
            if self.state.get(reader) == WAITING:
                self._move(reader, self._open(reader))

    def _move_held(self, change: Change) -> None:
        """What was handed over runs; what ended without a result, and runs nowhere else, is open again."""
        if change.began is not None:
            self._move(change.began.task, RUNNING)
        for ended in change.ended:
            if self.state.get(ended.task) == RUNNING and not self.holdings.holding(ended.task):
                self._move(ended.task, self._open(ended.task))

    def _count_workers(self) -> None:
        now = {name: worker.activity for name, worker in self.holdings.workers.items()}
        if now == self.activity:
            return
        for name in self.activity.keys() | now.keys():
            if now.get(name) != self.activity.get(name):
                self.out.busy(name, now.get(name) is Activity.BUSY)
        self.activity = now
        found = Counter(now.values())
        for activity in Activity:
            self.out.workers(activity.value, found[activity])

    def _stage(self, task: str) -> str:
        return self.session.graph.tasks[task].stage.value

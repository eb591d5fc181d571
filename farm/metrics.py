"""From a job's events to the numbers that are scraped: where its tasks and workers are, and what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from farm.events import (
    Event,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
)
from farm.session import JobSession
from jobs.graph import SegmentParams

WAITING, READY, RUNNING, COMMITTED, GIVEN_UP = "waiting", "ready", "running", "committed", "given_up"
STATES = (WAITING, READY, RUNNING, COMMITTED, GIVEN_UP)
LOADING, IDLE, BUSY = "loading", "idle", "busy"


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
        self.workers: dict[str, str] = {}
        self.held: dict[str, set[str]] = {}

    def take(self, event: Event) -> None:
        """Counts one event."""
        match event:
            case JobPlanned():
                self._plan()
            case WorkerPlaced():
                self._worker(event.worker, LOADING)
            case WorkerReady():
                self._worker(event.worker, IDLE)
            case WorkerGone():
                self._gone(event.worker)
            case TaskStarted():
                self._start(event)
            case TaskCommitted():
                self._commit(event)
            case TaskFailed():
                self._fail(event)
            case TaskSuperseded():
                self._release(event.worker, event.task)

    def _plan(self) -> None:
        todo = self.session.ledger.waiting
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

    def _start(self, event: TaskStarted) -> None:
        self.held.setdefault(event.worker, set()).add(event.task)
        self._move(event.task, RUNNING)
        self._worker(event.worker, BUSY)

    def _commit(self, event: TaskCommitted) -> None:
        task = self.session.graph.tasks[event.task]
        self.out.committed(event.worker, task.stage.value, event.seconds, event.bytes)
        if isinstance(task.params, SegmentParams):
            self.out.frames(task.params.owned_frames)
        self._release(event.worker, event.task)
        self._move(event.task, COMMITTED)
        for reader in self.session.graph.dependents[event.task]:
            if self.state.get(reader) == WAITING:
                self._move(reader, self._open(reader))

    def _fail(self, event: TaskFailed) -> None:
        self.out.failed(self._stage(event.task), event.kind)
        self._release(event.worker, event.task)
        given_up = event.then.startswith("given up")
        self._move(event.task, GIVEN_UP if given_up else self._open(event.task))

    def _release(self, worker: str, task: str) -> None:
        held = self.held.get(worker, set())
        held.discard(task)
        if worker in self.workers:
            self._worker(worker, BUSY if held else IDLE)

    def _gone(self, worker: str) -> None:
        for task in self.held.pop(worker, set()):
            self._move(task, self._open(task))
        self.workers.pop(worker, None)
        self.out.busy(worker, False)
        self._count_workers()

    def _worker(self, worker: str, state: str) -> None:
        if self.workers.get(worker) != state:
            self.workers[worker] = state
            self.out.busy(worker, state == BUSY)
            self._count_workers()

    def _count_workers(self) -> None:
        found = Counter(self.workers.values())
        for state in (LOADING, IDLE, BUSY):
            self.out.workers(state, found[state])

    def _stage(self, task: str) -> str:
        return self.session.graph.tasks[task].stage.value

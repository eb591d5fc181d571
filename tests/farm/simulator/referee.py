"""Keeps its own books of a simulated run, from the messages alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from farm.scheduler import commands, events
from farm.scheduler.commands import Outcome
from farm.scheduler.roster import Status
from jobs.errors import FailureKind

if TYPE_CHECKING:
    from farm.scheduler.graph import ScheduledTask
    from farm.scheduler.roster import Worker
    from farm.simulator.simulate import Simulation

MOST_EVENTS = 5000
ELSEWHERE = (FailureKind.BAD_OUTPUT, FailureKind.BUG)
EXACT_ON_ONE_WORKER = 3
"""Rungs of the ladder before another worker is tried."""


class Referee:
    """Follows one run. `needs` and `stages` are its own copies of the job, by task id."""

    def __init__(self, tasks: list[ScheduledTask], simulation: Simulation, budgeted: bool) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.simulation = simulation
        self.budgeted = budgeted
        self.swaps = bool(simulation.config.scheduler.swap_s)
        self.committed: set[str] = set()
        self.held: dict[str, tuple[str, int]] = {}
        self.attempts: dict[str, int] = {}
        self.failed_on: set[tuple[str, str]] = set()
        self.memory_failures: dict[str, list[str]] = {}
        self.quarantined: set[str] = set()
        self.up: set[str] = set()
        self.models: dict[str, str] = {}
        self.finish: commands.Finish | None = None
        self.exchanges = 0

    def watch(self, now: float, event: events.Event, orders: list[commands.Command]) -> None:
        self.exchanges += 1
        assert self.exchanges < MOST_EVENTS, "the run goes round in circles"
        assert self.finish is None or not orders, "a command after Finish"
        self._hear(event)
        for order in orders:
            self._check(order)
        if self.finish is None:
            self._check_idle()

    def _hear(self, event: events.Event) -> None:
        match event:
            case events.TaskDone() if self._holds(event):
                assert event.task not in self.committed, "committed twice"
                del self.held[event.task]
                self.committed.add(event.task)
            case events.AttemptFailed() if self._holds(event):
                del self.held[event.task]
                self._remember(event)
                self.committed.difference_update(event.lost_inputs)
            case events.WorkerLoaded():
                self.up.add(event.worker)
            case events.WorkerDied():
                self._strip(event.worker, event.kind)

    def _remember(self, failed: events.AttemptFailed) -> None:
        """Where the failed task may be kept from: the table sends it elsewhere."""
        if failed.lost_inputs:
            return
        if failed.kind in ELSEWHERE:
            self.failed_on.add((failed.task, failed.worker))
        if failed.kind is FailureKind.OOM:
            self._ran_out_of_memory(failed.task, failed.worker)

    def _ran_out_of_memory(self, task: str, worker: str) -> None:
        workers = self.memory_failures.setdefault(task, [])
        workers.append(worker)
        if len(workers) > EXACT_ON_ONE_WORKER:
            self.failed_on.update((task, each) for each in workers)

    def _holds(self, event: events.TaskDone | events.AttemptFailed) -> bool:
        return self.held.get(event.task) == (event.worker, event.attempt)

    def _strip(self, worker: str, kind: FailureKind = FailureKind.WORKER_LOST) -> None:
        if self.simulation.scheduler.board.roster.by_id[worker].status is Status.UP:
            return  # a message that came twice: the worker serves again
        taken = [task for task, (holder, _) in self.held.items() if holder == worker]
        for task in taken:
            del self.held[task]
        for task in taken[:1] if kind is FailureKind.OOM else ():
            self._ran_out_of_memory(task, worker)

    def _check(self, order: commands.Command) -> None:
        match order:
            case commands.Assign():
                self._check_assign(order)
            case commands.Kill():
                self._strip(order.worker)
                self.models.pop(order.worker, None)
            case commands.Suspend() | commands.Probe():
                self.up.discard(order.worker)
                self.models.pop(order.worker, None)
            case commands.Quarantine():
                assert order.task not in self.committed
                self.quarantined.add(order.task)
            case commands.Finish():
                self.finish = order
        if not isinstance(order, commands.Release):
            assert str(order.reason)

    def _check_assign(self, order: commands.Assign) -> None:
        task, worker = self.tasks[order.task], self.simulation.workers[order.worker]
        assert order.task not in self.committed, "rendered twice"
        assert order.task not in self.held, "two workers at once"
        assert self.committed.issuperset(task.needs), "started before its needs"
        assert task.stage in worker.stages, "a worker that cannot"
        assert order.attempt > self.attempts.get(order.task, 0), "an attempt number used twice"
        assert self.simulation.scheduler.board.roster.by_id[order.worker].status is Status.UP
        self.attempts[order.task] = order.attempt
        self.held[order.task] = (order.worker, order.attempt)
        if task.resident:
            self.models[order.worker] = task.resident

    def _check_idle(self) -> None:
        """No worker idles while there is a ready task that it could serve, but one whose model a busy worker
        of its kind holds, where it would have to load that."""
        scheduler = self.simulation.scheduler
        busy = {worker for worker, _ in self.held.values()}
        idle = [w for w in scheduler.board.roster.workers if w.status is Status.UP and w.id not in busy]
        if not idle or scheduler.paused is not None or self.budgeted:
            return
        for task in self._ready():
            for worker in idle:
                if task.stage in self.simulation.workers[worker.id].stages:
                    spared = (task.id, worker.id) in self.failed_on or self._has_holder(task, worker, busy)
                    assert spared, f"{worker.id} idles, {task.id} is ready"

    def _has_holder(self, task: ScheduledTask, worker: Worker, busy: set[str]) -> bool:
        if not self.swaps or not task.resident or self.models.get(worker.id) == task.resident:
            return False
        return any(
            other.group is worker.group and self.models.get(other.id) == task.resident
            for other in self.simulation.scheduler.board.roster.workers
            if other.id in busy and other.status is Status.UP
        )

    def _ready(self) -> Iterator[ScheduledTask]:
        for task in self.tasks.values():
            if task.id in self.committed or task.id in self.held or task.id in self.quarantined:
                continue
            if self.committed.issuperset(task.needs):
                yield task

    def check_end(self) -> None:
        assert self.finish is not None, "no Finish"
        lost = self._behind_quarantined()
        missing = set(self.tasks) - self.committed - lost
        if self.finish.outcome is Outcome.DONE:
            assert not missing
            assert not lost
        elif missing:
            self._check_deserted(missing)
        assert not self.held or missing

    def _check_deserted(self, missing: set[str]) -> None:
        """The job may only end early when no worker is left for any task that may start."""
        roster = self.simulation.scheduler.board.roster
        serving = [w for w in roster.workers if w.status is not Status.RETIRED]
        stages = {stage for worker in serving for stage in self.simulation.workers[worker.id].stages}
        ready = {task.stage for task in self._ready() if task.id in missing}
        served = ready & stages
        assert not served or (self.budgeted and ready - stages), "a task was lost"

    def _behind_quarantined(self) -> set[str]:
        lost = set(self.quarantined) - self.committed
        for task in self.tasks.values():
            if lost.intersection(task.needs) and task.id not in self.committed:
                lost.add(task.id)
        return lost

"""Tasks, queues, budget and workers, moved together so that no two of them ever disagree."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from farm.scheduler.admission import Admission
from farm.scheduler.commands import Assign, Release
from farm.scheduler.config import INFINITE_S, SchedulerConfig
from farm.scheduler.deadlines import StageDeadlines
from farm.scheduler.graph import SAMPLE, ScheduleGraph
from farm.scheduler.queues import Queues
from farm.scheduler.recovery import FailureHandling
from farm.scheduler.roster import Roster, Worker
from farm.scheduler.tasks import BLOCKED, QUARANTINED, READY, TaskTable

if TYPE_CHECKING:
    from farm.scheduler.events import TaskDone
    from farm.scheduler.reasons import Reason


class Board:
    """What is where. Decides nothing; every move leaves the whole consistent.

    `wake_s` is never later than the first deadline or end of a rest, nor `soon_s` than the time at which the
    next sample is nearly done.
    """

    def __init__(self, graph: ScheduleGraph, config: SchedulerConfig, committed: Collection[str]) -> None:
        self.graph = graph
        self.config = config
        self.tasks = TaskTable(graph, committed)
        exchange = any(config.swap_s.values())
        self.admission = Admission(graph, self.tasks, config.budget_bytes or 0, exchange)
        self.queues = Queues(graph, self.admission, exchange)
        self.roster = Roster(config)
        self.deadlines = StageDeadlines(config.hang)
        self.recovery = FailureHandling(self.tasks, self.roster, config)
        self.running = 0
        self.wake_s = INFINITE_S
        self._soon: list[tuple[float, int, tuple[int, int]]] = []
        self._chunk_bytes = self.admission.largest_bytes
        self.enqueue(self.tasks.ready_at_start())

    def enqueue(self, ready: Iterable[int]) -> None:
        """These tasks can run now."""
        for task in ready:
            if not self.recovery.hold_back(task):
                self.queues.add(task)

    def join(self, worker: Worker) -> None:
        """A new worker widens the batches of videos, and the byte budget unless the user set it."""
        self.queues.widen(max((self.roster.up[stage] for stage in self.graph.chained), default=1))
        if self.config.budget_bytes is None:
            share = self.config.payloads_per_worker * self._chunk_bytes
            self.admission.budget_bytes = share * (worker.number + 1)

    def assign(self, task: int, worker: Worker, reason: Reason, now: float) -> Assign:
        """Gives a ready task to a worker."""
        self.dequeue(task)
        self.queues.ungate(self.admission.start(task))
        attempt = self.tasks.assigned(task)
        worker.held.append((task, attempt))
        swap_s, model = 0.0, self.graph.resident[task]
        if self.graph.residents[model] and model != worker.resident:
            worker.resident, swap_s = model, self.config.swap_s.get(self.graph.residents[model], 0.0)
        self.running += 1
        if len(worker.held) == 1:
            self._start_head(worker, now, swap_s)
        self.roster.place(worker)
        return Assign(self.graph.ids[task], worker.id, attempt, self.recovery.rungs(task), reason)

    def dequeue(self, task: int) -> None:
        """The task is ready no longer."""
        self.queues.discard(task)
        self.recovery.discard(task)

    def take(
        self, worker_id: str, task_id: str, attempt: int, now: float
    ) -> tuple[Worker, int, float] | None:
        """Takes the task off its worker: the worker, the task, and how long it ran (0 if it never came to
        run).

        None for a message about a superseded attempt, or one whose end was reported before.
        """
        worker, task = self.roster.by_id.get(worker_id), self.graph.number.get(task_id, -1)
        key = (task, attempt)
        if worker is None or key not in worker.held:
            return None
        ran_s = 0.0
        if worker.held[0] == key:
            ran_s = now - worker.started_s
            worker.held.popleft()
            self._start_head(worker, now)
        else:
            worker.held.remove(key)
        self.running -= 1
        self.roster.place(worker)
        return worker, task, ran_s

    def strip(self, worker: Worker, now: float) -> list[int]:
        """Takes everything off a worker that is gone; the task that it was running comes first."""
        held = [task for task, _ in worker.held]
        worker.held.clear()
        self.running -= len(held)
        self._start_head(worker, now)
        self.roster.place(worker)
        return held

    def _start_head(self, worker: Worker, now: float, swap_s: float = 0.0) -> None:
        worker.started_s, worker.deadline_s, worker.nearly = now, INFINITE_S, False
        if worker.held:
            task = worker.held[0][0]
            stage, expected_s = self.graph.stage[task], self.graph.duration_s[task]
            worker.stage, kind = stage, self.graph.kind[task]
            hangs = self.recovery.hangs(task)
            worker.deadline_s = now + self.deadlines.allowance_s(kind, expected_s, hangs, swap_s)
            self.wake_s = min(self.wake_s, worker.deadline_s)
            if stage == SAMPLE and not self.queues.by_model and self._can_follow(worker, task):
                usual_s = self.deadlines.usual_s(kind, expected_s)
                lead_s = min(self.config.lead * usual_s, self.config.lead_s) + self.deadlines.after_s[kind]
                heappush(self._soon, (now + usual_s - lead_s, worker.number, worker.held[0]))

    def _can_follow(self, worker: Worker, task: int) -> bool:
        """Whether anything may be queued behind the sample: see `Policy.behind`."""
        return worker.group.stages[0] > SAMPLE or self.graph.ends_chain(task)

    @property
    def soon_s(self) -> float:
        """When the next sample is nearly done; infinite where none runs."""
        return self._soon[0][0] if self._soon else INFINITE_S

    def look_ahead(self, now: float) -> None:
        """Workers whose sample is nearly done may queue one more."""
        while self._soon and self._soon[0][0] <= now:
            _, number, running = heappop(self._soon)
            worker = self.roster.workers[number]
            if worker.held and worker.held[0] == running:
                worker.nearly = True
                self.roster.place(worker)

    def complete(self, task: int, worker: Worker, ran_s: float, done: TaskDone) -> list[Release]:
        """The task's result is committed; returns the payloads that nothing will read any more."""
        if ran_s > 0:
            self.deadlines.observe(self.graph.kind[task], self.graph.duration_s[task], ran_s, done.after_s)
        ready = self.tasks.complete(task, worker.number)
        if done.payload_bytes and self.graph.payload_bytes[task]:
            self.admission.measured(task, done.payload_bytes)
        self.queues.ungate(self.admission.over(task))
        self.enqueue(ready)
        return [Release(self.graph.ids[need]) for need in self.tasks.read_by(task)]

    def requeue(self, task: int) -> None:
        """The task comes back from a worker. It waits again where a need was lost meanwhile."""
        if self.tasks.requeue(task):
            self.enqueue((task,))
        elif self.tasks.barred(task):
            self.quarantine(task, BLOCKED)

    def quarantine(self, task: int, state: int = QUARANTINED) -> None:
        """Takes the task out, and all that needs it."""
        for taken in self.tasks.quarantine(task, state):
            self.dequeue(taken)
            self.queues.ungate(self.admission.over(taken))

    def reopen(self, tasks: Iterable[int]) -> None:
        """These tasks must run again, and whatever quarantined or blocked tasks they need."""
        for task in tasks:
            opened, demoted = self.tasks.reopen(task)
            for each in demoted:
                self.dequeue(each)
            self._opened(opened)

    def _opened(self, tasks: Iterable[int]) -> None:
        for task in tasks:
            self.admission.reopened(task)
            if self.tasks.state[task] == READY:
                self.enqueue((task,))

    def next_wake(self) -> None:
        """Looks for the next deadline or end of a rest among all workers."""
        times = (min(worker.deadline_s, worker.wake_s) for worker in self.roster.workers)
        self.wake_s = min(times, default=INFINITE_S)

"""The scheduler: events in, commands out. No clock, no random, no I/O.

The same events at the same times give the same commands, so a run can be replayed from its log, and what the
simulator answers is what the real scheduler does. An event costs O(log ready tasks), whatever the size of the
job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from farm.scheduler import events
from farm.scheduler.board import Board
from farm.scheduler.commands import Command, Finish, Kill, Outcome, PauseJob, Quarantine
from farm.scheduler.config import SchedulerConfig
from farm.scheduler.graph import STAGES, ScheduleGraph
from farm.scheduler.health import Health
from farm.scheduler.policy import Choice, Policy
from farm.scheduler.reasons import Reason, Why
from farm.scheduler.roster import Group, Status, Worker
from farm.scheduler.tasks import BLOCKED, QUARANTINED
from jobs.errors import FailureKind
from jobs.failures import Action, Failure, Verdict


class Scheduler:
    """One job's scheduler. `committed` names the tasks that need not run, as their results are in the store.

    The first commands come with the first `WorkerReady`; the last command of all is `Finish`.
    """

    def __init__(
        self, graph: ScheduleGraph, config: SchedulerConfig | None = None, committed: Collection[str] = ()
    ) -> None:
        self.config = config or SchedulerConfig()
        self.board = Board(graph, self.config, committed)
        self.policy = Policy(self.board, self.config)
        self.health = Health(self.board.roster, self.board.tasks, self.config.rest)
        self.paused: Reason | None = None
        self.finished: Finish | None = None
        self._out: list[Command] = []
        self._now = 0.0
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.TaskDone: self._task_done,
            events.AttemptFailed: self._task_failed,
            events.WorkerLoaded: self._worker_ready,
            events.WorkerDied: self._worker_lost,
            events.WorkerLeaving: self._worker_leaves,
            events.Tick: self._tick,
            events.Pause: self._pause,
            events.Resume: self._resume,
            events.Reopened: self._reopened,
        }

    def handle(self, event: events.Event, now: float) -> list[Command]:
        """What to do about the event, at `now` seconds of a clock that never goes back."""
        if self.finished is not None:
            return []
        self._out, self._now = [], now
        self._handlers[type(event)](event)
        if self.finished is None:
            self.board.look_ahead(now)
            if self.paused is None:
                self._dispatch()
            self._settle()
        return self._out

    def knows(self, worker: str) -> bool:
        """Whether the worker was ready once."""
        return worker in self.board.roster.by_id

    def next_wake_s(self) -> float:
        """When the next `Tick` is due, at the latest; infinite when nothing waits for time to pass."""
        return min(self.board.wake_s, self.board.soon_s)

    def rest_s(self) -> float:
        """The least time that the rest of the job takes with the workers there are, seconds."""
        return self.policy.rest_s()

    # -- events ------------------------------------------------------------------------------------------

    def _task_done(self, event: events.TaskDone) -> None:
        taken = self.board.take(event.worker, event.task, event.attempt, self._now)
        if taken is not None:
            worker, task, ran_s = taken
            self.health.succeeded(worker)
            self._out.extend(self.board.complete(task, worker, ran_s, event))

    def _task_failed(self, event: events.AttemptFailed) -> None:
        if event.kind is FailureKind.WORKER_LOST:
            self._worker_lost(events.WorkerDied(event.worker, event.message, event.task))
            return
        taken = self.board.take(event.worker, event.task, event.attempt, self._now)
        if taken is None:
            return
        worker, task, _ = taken
        corrupt = event.lost_inputs[0] if event.lost_inputs else ""
        failure = Failure(event.kind, worker.id, event.message, event.output_digest or "", corrupt)
        verdict = self.board.recovery.judge(task, failure)
        if verdict.action in (Action.RETRY, Action.QUARANTINE):
            self._out.extend(self.health.failed(worker, event.kind.value, self._now))
        self.board.reopen(self.board.tasks.numbers(event.lost_inputs))
        self._apply(task, verdict)

    def _worker_ready(self, event: events.WorkerLoaded) -> None:
        worker = self.board.roster.by_id.get(event.worker)
        if worker is None:
            self.board.join(self.board.roster.add(event.worker, event.stages, event.host))
        else:
            self.health.came(worker)

    def _worker_lost(self, event: events.WorkerDied) -> None:
        worker = self.board.roster.by_id.get(event.worker)
        if worker is not None and (worker.alive or worker.status == Status.PROBING):
            self._lose(worker, event)

    def _worker_leaves(self, event: events.WorkerLeaving) -> None:
        worker = self.board.roster.by_id.get(event.worker)
        if worker is not None and worker.alive and not worker.leaving:
            self._health(self.health.leaves(worker))

    def _tick(self, event: events.Tick) -> None:
        if self._now < self.board.wake_s:
            return
        for worker in self.board.roster.workers:
            if worker.deadline_s <= self._now:
                self._hang(worker)
            if worker.wake_s <= self._now:
                self._wake(worker)
        self.board.next_wake()

    def _pause(self, event: events.Pause) -> None:
        self.paused = Reason(Why.BY_USER, (event.reason,))

    def _resume(self, event: events.Resume) -> None:
        self.paused = None

    def _reopened(self, event: events.Reopened) -> None:
        self.board.reopen(self.board.tasks.numbers(event.tasks))

    # -- failures ----------------------------------------------------------------------------------------

    def _apply(self, task: int, verdict: Verdict) -> None:
        if verdict.action is Action.QUARANTINE:
            self.board.quarantine(task)
            self._out.append(
                Quarantine(self.board.graph.ids[task], Reason(Why.QUARANTINED, (verdict.reason,)))
            )
            return
        self.board.requeue(task)
        if verdict.action is Action.PAUSE and self.paused is None:
            self.paused = Reason(Why.STORAGE, (verdict.reason,))
            self._out.append(PauseJob(self.paused))

    def _lose(self, worker: Worker, loss: events.WorkerDied) -> None:
        ids = self.board.graph.ids
        held = sorted(self.board.strip(worker, self._now), key=lambda one: ids[one] != loss.task)
        self._health(self.health.lost(worker, loss.reason, self._now))
        self._give_back(held, Failure(loss.kind, worker.id, loss.reason))

    def _hang(self, worker: Worker) -> None:
        task = worker.held[0][0]
        reason = self._hang_reason(worker, task)
        held = self.board.strip(worker, self._now)
        self._out.append(Kill(worker.id, self.board.graph.ids[task], reason))
        self._health(self.health.killed(worker, self._now))
        self._give_back(held, Failure(FailureKind.HANG, worker.id, str(reason)))

    def _hang_reason(self, worker: Worker, task: int) -> Reason:
        graph = self.board.graph
        stage, expected_s = graph.stage[task], graph.duration_s[task]
        usual_s = self.board.deadlines.usual_s(graph.kind[task], expected_s)
        return Reason(Why.DEADLINE, (STAGES[stage].value, worker.deadline_s - worker.started_s, usual_s))

    def _give_back(self, held: list[int], failure: Failure) -> None:
        """The first task was running and bears the failure; what was queued behind it does not."""
        for task in held[:1]:
            self._apply(task, self.board.recovery.judge(task, failure))
        for task in held[1:]:
            self.board.requeue(task)

    def _wake(self, worker: Worker) -> None:
        if worker.status == Status.RESTING:
            self._health(self.health.woken(worker, self._now))
        else:
            self._lose(worker, events.WorkerDied(worker.id, "the probe was not answered"))

    def _health(self, commands: list[Command]) -> None:
        self._out.extend(commands)
        for worker in self.board.roster.workers:
            self.board.wake_s = min(self.board.wake_s, worker.wake_s)

    # -- decisions ---------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        for group in self.board.roster.groups:
            if group.idle:
                self._serve_held_back(group)
                self._serve(group)
        for group in self.board.roster.groups:
            if group.nearly:
                self._queue_behind_samples(group)
            if group.room:
                self._queue_ahead(group)

    def _serve_held_back(self, group: Group) -> None:
        """Tasks that some workers must not get come first: they are late already, and few can take them."""
        recovery = self.board.recovery
        for stage in group.stages:
            while recovery.picky[stage] and (match := recovery.match(stage, group.idle)):
                task, number = match
                self._assign(Choice(task, Reason(Why.AGAIN)), self.board.roster.workers[number])

    def _serve(self, group: Group) -> None:
        while group.idle and (picked := self.policy.pick(group)):
            self._assign(*picked)

    def _queue_ahead(self, group: Group) -> None:
        """Queues behind running tasks, so that devices work on while results are written and reported.

        Only while there is enough for every worker of the group, and never on the longest path: a task bound
        to one worker is lost to another that goes idle first, and keeps what follows the running one waiting.
        """
        while group.room and self.policy.ready(group) >= group.up:
            worker = self.policy.patient(group)
            choice = self.policy.ahead(group, worker) if worker else None
            if worker is None or choice is None:
                return
            self._assign(choice, worker)

    def _queue_behind_samples(self, group: Group) -> None:
        """Where a sample is nearly done, a task follows that was kept for it."""
        for number in tuple(group.nearly):
            worker = self.board.roster.workers[number]
            choice = self.policy.behind(worker)
            if choice is not None:
                self._assign(choice, worker)

    def _assign(self, choice: Choice, worker: Worker) -> None:
        note = self.board.recovery.note(choice.task)
        reason = Reason(Why.AGAIN, (note,)) if note else choice.reason
        self._out.append(self.board.assign(choice.task, worker, reason, self._now))

    def _settle(self) -> None:
        tasks = self.board.tasks
        if not tasks.left:
            self._finish(*self._outcome())
        elif not self.board.running and self.paused is None:
            stage = self.policy.deserted()
            if stage is not None:
                self._finish(Outcome.FAILED, Reason(Why.NO_WORKER, (stage, tasks.left)))

    def _outcome(self) -> tuple[Outcome, Reason]:
        tasks = self.board.tasks
        quarantined, blocked = tasks.state.count(QUARANTINED), tasks.state.count(BLOCKED)
        if not quarantined:
            return Outcome.DONE, Reason(Why.ALL_DONE, (tasks.done,))
        outcome = Outcome.PARTIAL if tasks.delivered() else Outcome.FAILED
        return outcome, Reason(Why.SOME_QUARANTINED, (tasks.done, quarantined, blocked))

    def _finish(self, outcome: Outcome, reason: Reason) -> None:
        self.finished = Finish(outcome, reason)
        self._out.append(self.finished)

"""The render loop: what happens in the pool goes to the scheduler, its commands go to the pool.

The loop holds handles and small values only. Whatever ends it, the store says what is done, and the same job
continues from there.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from cluster.failures import Failure
from cluster.inventory import UNKNOWN, read_inventory
from cluster.pool import Pool
from cluster.pool_events import Alive, Call, Done, Failed, Lost, Placed, PoolEvent, Ready, Waiting
from farm.estimates.durations import Durations, Laps, Place, expected_s, read_durations
from farm.events import (
    Event,
    Notice,
    TaskFailed,
    TaskStarted,
    WorkerPlaced,
    WorkerReady,
    WorkerSuspended,
)
from farm.scheduler import commands, events
from farm.scheduler.config import scheduler_config
from farm.scheduler.core import Scheduler
from farm.scheduler.graph import schedule_graph
from farm.session.session import JobSession
from farm.state.attempts import Activity
from farm.state.job_state import CANCELLED, COMPUTED, INTERRUPTED, PAUSED, PAUSED_BY_USER
from farm.workers.membership import Crew
from farm.workers.outage import Outage
from farm.workers.reference_worker import Speaker
from farm.workers.stragglers import Pace
from farm.workers.workforce import Workforce
from jobs.commands import job_command
from jobs.errors import (
    CannotRun,
    CorruptArtifact,
    FailureKind,
    FarmError,
    StageError,
    StorageProblem,
    StoreUnusable,
)
from jobs.failures import Rung
from jobs.store.commits import Commit
from jobs.store.documents import Request
from jobs.tasks.task import Stage, StageTask

LONGEST_WAIT_S = 1.0
POLL_S = 2.0
TRIM_S = 20.0


class RenderLoop:
    """One render on one pool. `run` yields the job's events until it ends."""

    def __init__(
        self,
        session: JobSession,
        pool: Pool,
        workforce: Workforce,
        place: Place,
        outage: Outage | None = None,
    ) -> None:
        self.session, self.pool, self.workforce, self.place = session, pool, workforce, place
        self.outage = outage
        self.ledger = session.ledger
        self.known = read_durations(session.scope.runs_url)
        self.measured = Durations(self.known.means)
        self.scheduler: Scheduler | None = None
        self.crew = Crew(session, workforce)
        self.speaker = Speaker(self.crew, place.device, session.plan.run.mixed_compute)
        self.pace, self._expected_s = Pace(), expected_s(place.engine)
        self._sent_s: dict[tuple[str, int], float] = {}
        self._stages: set[Stage] = set()
        self._ending: tuple[str, str] | None = None
        self._computed: tuple[str, str] | None = None
        self._pausing = ""
        self._stopped_by = ""
        self._polled_s = 0.0
        self._trimmed_s = time.monotonic()

    def stop(self, signal_name: str) -> None:
        """End the render at the next turn; for signal handlers."""
        self._stopped_by = signal_name
        self.pool.wake()

    def run(self) -> Iterator[Event]:
        """The job's events; the last one is `JobFinished`."""
        try:
            if self.ledger.digests:
                yield from self._begin()
                yield from self._mend()
            while self._ending is None:
                for event in self.pool.wait(self._wait_s()):
                    yield from self._on(event)
                yield from self._turn()
                yield from self._mend()
        except StorageProblem as problem:
            self._ending = PAUSED, str(problem)
        if self.measured.means != self.known.means:
            self.session.keep(self.measured)
        yield from self.session.finish(*self._ending)

    def _mend(self) -> Iterator[Event]:
        """A film that met a damaged segment: those alone are made again, by whoever still lives."""
        if self._ending is None or self._ending[0] not in COMPUTED:
            return
        yield from self.session.mend()
        if self.ledger.todo:
            self._require_hosts(self.ledger.todo, "a segment is damaged")
            self._computed, self._ending = self._ending, None
            self._schedule()
            for worker in self.crew.members:
                self.pool.probe(worker)

    def _wait_s(self) -> float:
        if self.scheduler is None:
            return LONGEST_WAIT_S
        return min(LONGEST_WAIT_S, max(0.0, self.scheduler.next_wake_s() - time.monotonic()))

    def _turn(self) -> Iterator[Event]:
        """What is due without an event: signals, requests, the clock, finished films."""
        self.session.check_lock()
        if self._stopped_by:
            self._ending = INTERRUPTED, f"stopped by {self._stopped_by}; the same command continues it"
            return
        self._poll_requests()
        if self._ending is None and self.outage is not None:
            yield from self._look_for_an_outage(self.outage)
        if time.monotonic() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = time.monotonic()
            give_back_memory()
        if self.scheduler is not None:
            if time.monotonic() >= self.scheduler.next_wake_s():
                yield from self._tell(events.Tick())
            if self._pausing and not any(self.pool.busy(worker) for worker in self.crew.ready):
                self._ending = PAUSED, self._pausing
        if self._ending is None and not self.ledger.digests:
            yield from self._settle()
        if left_out := self.speaker.left_out():
            yield self.session.record(Notice(left_out))
        yield from self.session.delivered()

    def _look_for_an_outage(self, outage: Outage) -> Iterator[Event]:
        for said in outage.look():
            yield self.session.record(Notice(said))
        if outage.cause:
            self._ending = PAUSED, outage.cause

    def _poll_requests(self) -> None:
        now = time.monotonic()
        if now - self._polled_s < POLL_S:
            return
        self._polled_s = now
        asked = self.session.store.requests()
        if Request.CANCEL in asked:
            self._ending = CANCELLED, "cancelled by the user"
        elif Request.PAUSE in asked and not self._pausing:
            self._pause(PAUSED_BY_USER)

    def _pause(self, reason: str) -> None:
        """Hand out nothing more and end when what runs is done."""
        self._pausing = reason
        if self.scheduler is None:
            self._ending = PAUSED, reason
        else:
            self.scheduler.handle(events.Pause(reason), time.monotonic())

    # -- the pool ------------------------------------------------------------------------------------------

    def _on(self, event: PoolEvent) -> Iterator[Event]:
        match event:
            case Waiting():
                yield self.session.record(Notice(event.message))
            case Placed():
                yield self._placed(event)
            case Ready():
                yield from self._on_ready(event)
            case Alive():
                yield from self._on_alive(event.worker)
            case Done():
                yield from self._on_done(event)
            case Failed():
                yield from self._on_failed(event)
            case Lost():
                yield from self._on_lost(event)

    def _placed(self, event: Placed) -> Event:
        self.speaker.placed(event.placement)
        stages = self.workforce.stages[event.worker]
        named = tuple(stage.value for stage in Stage if stage in stages)
        node = f"{event.placement.host}/{event.placement.node_id[:8]}"
        return self.session.record(WorkerPlaced(event.worker, node, named))

    def _on_ready(self, event: Ready) -> Iterator[Event]:
        self.crew.ready[event.worker] = event
        if self.place.device == UNKNOWN:
            self.place = replace(self.place, device=read_inventory().device)
        device = event.placement.device
        yield self.session.record(WorkerReady(event.worker, device, event.seconds))
        if self.scheduler is not None:
            yield from self._enlist(event.worker)

    def _on_alive(self, worker: str) -> Iterator[Event]:
        known = self.session.holdings.workers.get(worker)
        if known is not None and known.activity is Activity.SUSPENDED:
            yield self.session.record(WorkerReady(worker, known.device))
        yield from self._tell(self.crew.introduced(worker))

    def _settle(self) -> Iterator[Event]:
        """Begin once it is clear whose report the job takes."""
        now = time.monotonic()
        worker = self.speaker.choose(now)
        if worker is None:
            if waiting := self.speaker.waiting(now):
                yield self.session.record(Notice(waiting))
            return
        spoken = self.crew.ready[worker]
        self.place = replace(self.place, device=spoken.placement.accelerator or self.place.device)
        self.session.resolve(spoken.report)
        yield from self._begin()

    def _begin(self) -> Iterator[Event]:
        """The digests are known: from here on tasks are handed out."""
        session = self.session
        yield session.planned()
        session.deliver_complete()
        if session.complete:
            self._ending = session.final_outcome, ""
            return
        self._schedule()
        give_back_memory()
        for worker in tuple(self.crew.ready):
            yield from self._enlist(worker)

    def _schedule(self) -> None:
        self._stages = {self.ledger.graph.tasks[task].stage for task in self.ledger.todo}
        self.scheduler = make_scheduler(self.session, self.known.estimate(self.place))

    def _enlist(self, worker: str) -> Iterator[Event]:
        """Let a ready worker serve, if what it makes has the job's bytes."""
        difference = self.crew.difference(worker)
        if difference and not self.session.plan.run.mixed_compute:
            yield from self._refuse(worker, difference)
            return
        if difference:
            self.crew.strangers.add(worker)
        yield from self._tell(self.crew.introduced(worker))

    def _refuse(self, worker: str, difference: str) -> Iterator[Event]:
        self.pool.kill(worker)
        self.speaker.refused(worker, difference)
        yield self.session.gone(worker, f"refused: its films would differ: {difference}")
        self.crew.leave_out(worker, f"{difference}. Use equal machines, or set run.mixed_compute: true")

    def _on_done(self, event: Done) -> Iterator[Event]:
        result, attempt = event.result, event.call.order.attempt
        if (sent_s := self._sent_s.pop((result.task, attempt), None)) is not None:
            self.measured.observe_latency(time.monotonic() - sent_s - sum(result.detail.values()))
        yield from self.session.take(result, event.worker, attempt)
        after_s = result.detail.get("commit_s", 0.0) + self.measured.latency_s
        done = events.TaskDone(result.task, event.worker, attempt, result.commit.size, after_s)
        yield from self._tell(done)
        yield from self.session.settle(result.task)
        task = self.ledger.graph.tasks[result.task]
        if slow := self.pace.observe(event.worker, task.stage, self._expected_s(task), result.seconds):
            yield self.session.record(Notice(slow))
        laps = Laps(result.seconds, result.detail.get("read_s", 0.0), result.detail.get("commit_s", 0.0))
        self.measured.observe(self.place, task, laps)

    def _on_failed(self, event: Failed) -> Iterator[Event]:
        failure = event.failure
        if failure.kind is FailureKind.WORKER_LOST:
            others = self.pool.kill(event.worker)
            yield from self._on_lost(Lost(event.worker, (event.call, *others), failure))
            return
        yield from self._tell_failure(event.worker, event.call, failure)

    def _tell_failure(self, worker: str, call: Call, failure: Failure) -> Iterator[Event]:
        told = events.TaskFailed(
            call.task,
            worker,
            call.order.attempt,
            failure.kind,
            failure.message,
            getattr(failure.cause, "evidence", "") or None,
            self._lose_inputs(call.task, failure),
        )
        assert self.scheduler is not None
        orders = self.scheduler.handle(told, time.monotonic())
        yield self._record_failure(worker, call, failure, orders)
        yield from self._perform(orders, explained=call.task)

    def _record_failure(
        self, worker: str, call: Call, failure: Failure, orders: Iterable[commands.Command]
    ) -> Event:
        given_up, then = _consequence(call.task, orders)
        attempt, kind = call.order.attempt, failure.kind.value
        return self.session.failed(
            TaskFailed(call.task, worker, attempt, kind, failure.message, then), given_up
        )

    def _lose_inputs(self, task: str, failure: Failure) -> tuple[str, ...]:
        """The inputs that turned out damaged; their commits are void from now on."""
        digest = failure.cause.digest if isinstance(failure.cause, CorruptArtifact) else ""
        needs = dict.fromkeys(need.task for need in self.ledger.graph.tasks[task].needs)
        lost = tuple(need for need in needs if digest and self.ledger.digests[need] == digest)
        for need in lost:
            self.session.lose(need)
            self.pool.drop(need)
        self._require_hosts(lost, failure.message)
        return lost

    def _require_hosts(self, tasks: Iterable[str], why: str) -> None:
        """Raises StorageProblem, which pauses the job, where a task that is made again has no worker: what
        was committed when the job was resumed gets none."""
        for task in tasks:
            stage = self.ledger.graph.tasks[task].stage
            if not self.workforce.hosts(stage):
                store = self.session.store
                resume = job_command("resume", store.job_id, store.runs_url)
                again = f"{task} has to be made again, and no worker of this render hosts {stage}"
                raise StorageProblem(f"{why}; {again}: continue with `{resume}`")

    def _on_lost(self, event: Lost) -> Iterator[Event]:
        yield self.session.gone(event.worker, event.failure.message)
        self._raise_if_hopeless(event.failure)
        if self.scheduler is None or not self.scheduler.knows(event.worker):
            self._start_again(event)
            return
        if event.failure.kind is FailureKind.OOM and event.calls:
            yield from self._out_of_memory(event)
            return
        died_of = event.calls[0].task if event.calls else ""
        yield from self._tell(events.WorkerLost(event.worker, event.failure.message, died_of))

    def _out_of_memory(self, event: Lost) -> Iterator[Event]:
        """The node ended the worker for the memory it took: it is gone, and its task needs less."""
        call, failure = event.calls[0], event.failure
        assert self.scheduler is not None
        lost = events.WorkerLost(event.worker, failure.message, call.task, failure.kind)
        orders = self.scheduler.handle(lost, time.monotonic())
        yield self._record_failure(event.worker, call, failure, orders)
        yield from self._perform(orders, explained=call.task)

    def _start_again(self, event: Lost) -> None:
        """A worker that never served is started again. What keeps the last one of a stage from its storage
        pauses the job."""
        try:
            again = self.crew.tries_again(event.worker, event.failure.message)
        except CannotRun:
            if isinstance(event.failure.cause, StorageProblem):
                raise event.failure.cause from None
            raise
        if again:
            self.pool.replace(event.worker)

    def _raise_if_hopeless(self, failure: Failure) -> None:
        """What every worker would answer is told to the user at once; a full disk pauses the job. Once
        workers serve, what another one lacks is a matter of its own node."""
        cause, serving = failure.cause, self.scheduler is not None or bool(self.speaker.heard)
        if isinstance(cause, StorageProblem) and (cause.full or not serving):
            raise cause
        if serving:
            return
        if isinstance(cause, FarmError) and not isinstance(cause, StageError):
            raise cause
        if failure.kind is FailureKind.INVALID:
            raise StoreUnusable(failure.message)

    # -- the scheduler -------------------------------------------------------------------------------------

    def _tell(self, event: events.Event) -> Iterator[Event]:
        if self.scheduler is not None:
            yield from self._perform(self.scheduler.handle(event, time.monotonic()))

    def _perform(self, orders: Iterable[commands.Command], explained: str = "") -> Iterator[Event]:
        """Carry out commands; `explained` is a task whose failure the log has already."""
        for order in orders:
            match order:
                case commands.Assign():
                    yield from self._assign(order)
                case commands.Release():
                    self.pool.drop(order.task)
                case commands.Kill():
                    yield from self._kill(order)
                case commands.Suspend():
                    yield self.session.record(WorkerSuspended(order.worker, str(order.reason)))
                case commands.Probe():
                    yield from self._probe(order.worker)
                case commands.Quarantine() if order.task != explained:
                    yield self._quarantine(order)
                case commands.PauseJob():
                    self._pausing = str(order.reason)
                case commands.Finish():
                    self._ending = self._outcome(order)

    def _assign(self, order: commands.Assign) -> Iterator[Event]:
        known = self.session.store.commit(self.ledger.digests[order.task]) if order.attempt > 1 else None
        if known is not None:
            yield from self._adopt(order, known)
            return
        task = order.task
        rungs = tuple(Rung(name) for name in order.ladder)
        uses = tuple(dict.fromkeys(need.task for need in self.ledger.graph.tasks[task].needs))
        ticket = self.ledger.order(task, order.attempt, rungs)
        if order.worker in self.crew.strangers:
            ticket = replace(ticket, exact=False)
        share = self._has_other_readers(task, order.worker)
        size_bytes = self.ledger.graph.tasks[task].bytes_estimate
        if not self.pool.busy(order.worker):
            # Behind another call it would wait for that one, too.
            self._sent_s[task, order.attempt] = time.monotonic()
        self.pool.submit(order.worker, Call(task, ticket, uses, share, size_bytes))
        yield self.session.record(TaskStarted(task, order.worker, order.attempt, str(order.reason)))

    def _adopt(self, order: commands.Assign, commit: Commit) -> Iterator[Event]:
        """An earlier attempt committed the task and was lost before it could say so: it is done."""
        from actors.worker.worker import TaskResult

        maker = str(commit.provenance.get("worker", ""))
        result = TaskResult(order.task, commit, float(commit.provenance.get("seconds", 0.0)), {})
        yield from self.session.take(result, maker, int(commit.provenance.get("attempt", 1)))
        yield from self._tell(events.TaskDone(order.task, order.worker, order.attempt, commit.size))
        yield from self.session.settle(order.task)

    def _has_other_readers(self, task: str, worker: str) -> bool:
        """Whether another worker may read the task's payload; the own one has it in its cache."""
        graph = self.ledger.graph
        stages = {graph.tasks[reader].stage for reader in graph.dependents.get(task, ())} & self._stages
        return any(self.workforce.hosts(stage) != {worker} for stage in stages)

    def _kill(self, order: commands.Kill) -> Iterator[Event]:
        self.pool.replace(order.worker)
        yield self.session.gone(order.worker, str(order.reason))

    def _probe(self, worker: str) -> Iterator[Event]:
        if self.pool.probe(worker) and worker in self.session.holdings.workers:
            yield self.session.gone(worker, "it did not answer when it was asked whether it serves")

    def _quarantine(self, order: commands.Quarantine) -> Event:
        record = TaskFailed(order.task, "", 0, FailureKind.WORKER_LOST.value, str(order.reason), "given up")
        return self.session.failed(record, given_up=True)

    def _outcome(self, order: commands.Finish) -> tuple[str, str]:
        if order.outcome is commands.Outcome.DONE:
            return self._computed or (self.session.final_outcome, "")
        return order.outcome.value, str(order.reason)


def give_back_memory() -> None:
    """Return to the system what was freed; the allocator keeps tens of megabytes of a long film's plan and
    of the small messages that came from other threads.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def make_scheduler(session: JobSession, seconds: Callable[[StageTask], float]) -> Scheduler:
    """The scheduler of a resolved session with these estimates; what need not run counts as committed."""
    graph = schedule_graph(session.graph, seconds)
    todo = set(session.ledger.todo)
    return Scheduler(graph, scheduler_config(session.plan.run), [t for t in graph.ids if t not in todo])


def _consequence(task: str, orders: Iterable[commands.Command]) -> tuple[bool, str]:
    """Whether the task is given up, and what happens next in words."""
    for order in orders:
        if isinstance(order, commands.Quarantine) and order.task == task:
            return True, f"given up: {order.reason}"
        if isinstance(order, commands.PauseJob):
            return False, f"the job pauses: {order.reason}"
    return False, "tried again"

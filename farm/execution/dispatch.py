"""The scheduler's commands, carried out on the pool: tasks handed out, workers ended, the job ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.pool.events import TaskCall
from farm.events import Event, TaskFailed, TaskStarted, WorkerSuspended
from farm.scheduler import commands, events
from farm.scheduler.config import scheduler_config
from farm.scheduler.core import Scheduler
from farm.scheduler.graph import schedule_graph
from farm.state.job_state import PAUSED
from farm.topology.lora_sets import lora_sets
from jobs.errors import FailureKind
from jobs.failures import Rung

if TYPE_CHECKING:
    from cluster.pool.pool import WorkerPool
    from farm.session.session import JobSession
    from farm.workers.membership import Membership
    from farm.workers.workforce import Workforce
    from jobs.store.commits import Commit
    from jobs.tasks.task import Stage, StageTask


class Dispatch:
    """Tells the scheduler what happened and does what it commands.

    `ending` is the outcome and reason of a job that ends, `pausing` why nothing more is handed out.
    """

    def __init__(
        self, session: JobSession, pool: WorkerPool, workforce: Workforce, membership: Membership
    ) -> None:
        self.session, self.pool, self.workforce, self.membership = session, pool, workforce, membership
        self.scheduler: Scheduler | None = None
        self.ending: tuple[str, str] | None = None
        self.computed: tuple[str, str] | None = None
        """How the job was about to end when a film met a damaged segment."""
        self.pausing = ""
        self._sent_s: dict[tuple[str, int], float] = {}
        self._stages: set[Stage] = set()

    def schedule(self, seconds: Callable[[StageTask], float]) -> None:
        """From here on tasks are handed out; `seconds` estimates each."""
        ledger = self.session.ledger
        self._stages = {ledger.graph.tasks[task].stage for task in ledger.todo}
        self.scheduler = make_scheduler(self.session, seconds, self.workforce.prompts_first)

    def reopen(self, tasks: Collection[str]) -> Iterator[Event]:
        """These tasks are to be handed out, too."""
        graph = self.session.graph
        self._stages |= {graph.tasks[task].stage for task in tasks}
        yield from self.tell(events.Reopened(tuple(tasks)))

    def tell(self, event: events.Event) -> Iterator[Event]:
        """The scheduler learns of an event, and its commands are carried out."""
        if self.scheduler is not None:
            yield from self.perform(self.handle(event))

    def handle(self, event: events.Event) -> list[commands.Command]:
        """What the scheduler commands upon an event, not yet carried out. There has to be a scheduler."""
        assert self.scheduler is not None
        return self.scheduler.handle(event, self.pool.cluster.now_s())

    def pause(self, reason: str) -> None:
        """Hand out nothing more and end when what runs is done."""
        self.pausing = reason
        if self.scheduler is None:
            self.ending = PAUSED, reason
        else:
            self.handle(events.Pause(reason))

    def resume(self) -> Iterator[Event]:
        """Goes on as before `pause`."""
        self.pausing = ""
        yield from self.tell(events.Resume())

    def latency_s(self, task: str, attempt: int, seconds: float) -> float | None:
        """What handing the attempt over cost beside its `seconds`; None where it waited behind another."""
        sent_s = self._sent_s.pop((task, attempt), None)
        return None if sent_s is None else self.pool.cluster.now_s() - sent_s - seconds

    def perform(self, orders: Iterable[commands.Command], explained: str = "") -> Iterator[Event]:
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
                    self.pausing = str(order.reason)
                case commands.Finish():
                    self.ending = self._outcome(order)

    def _assign(self, order: commands.Assign) -> Iterator[Event]:
        session, graph = self.session, self.session.graph
        known = session.store.commit(session.ledger.digests[order.task]) if order.attempt > 1 else None
        if known is not None:
            yield from self._adopt(order, known)
            return
        ticket = session.ledger.order(order.task, order.attempt, tuple(Rung(name) for name in order.ladder))
        if order.worker in self.membership.strangers:
            ticket = replace(ticket, exact=False)
        if not self.pool.busy(order.worker):
            # Behind another call it would wait for that one, too.
            self._sent_s[order.task, order.attempt] = self.pool.cluster.now_s()
        call = TaskCall(
            order.task,
            ticket,
            tuple(dict.fromkeys(need.task for need in graph.tasks[order.task].needs)),
            self._has_other_readers(order.task, order.worker),
            graph.tasks[order.task].bytes_estimate,
        )
        self.pool.submit(order.worker, call)
        yield session.record(TaskStarted(order.task, order.worker, order.attempt, str(order.reason)))

    def _adopt(self, order: commands.Assign, commit: Commit) -> Iterator[Event]:
        """An earlier attempt committed the task and was lost before it could say so: it is done."""
        from actors.worker.order import TaskResult

        maker = str(commit.provenance.get("worker", ""))
        result = TaskResult(order.task, commit, float(commit.provenance.get("seconds", 0.0)), {})
        yield from self.session.results.take(result, maker, int(commit.provenance.get("attempt", 1)))
        yield from self.tell(events.TaskDone(order.task, order.worker, order.attempt, commit.size))
        yield from self.session.settle(order.task)

    def _has_other_readers(self, task: str, worker: str) -> bool:
        """Whether another worker may read the task's payload; the own one has it in its cache."""
        graph = self.session.graph
        stages = {graph.tasks[reader].stage for reader in graph.dependents.get(task, ())} & self._stages
        return any(self.workforce.hosts(stage) != {worker} for stage in stages)

    def _kill(self, order: commands.Kill) -> Iterator[Event]:
        self.pool.replace(order.worker)
        yield self.session.gone(order.worker, str(order.reason))

    def _probe(self, worker: str) -> Iterator[Event]:
        if self.pool.probe(worker) and worker in self.session.holdings.workers:
            yield self.session.gone(worker, "it did not answer when it was asked whether it serves")

    def _quarantine(self, order: commands.Quarantine) -> Event:
        record = TaskFailed(
            order.task, "", 0, FailureKind.WORKER_LOST.value, str(order.reason), "quarantined"
        )
        return self.session.results.failed(record, quarantined=True)

    def _outcome(self, order: commands.Finish) -> tuple[str, str]:
        if order.outcome is commands.Outcome.DONE:
            return self.computed or (self.session.final_outcome, "")
        return order.outcome.value, str(order.reason)


def make_scheduler(
    session: JobSession, seconds: Callable[[StageTask], float], prompts_first: bool
) -> Scheduler:
    """The scheduler of a resolved session with these estimates; what need not run counts as committed."""
    sets = lora_sets(session.plan.engine, session.graph.tasks.values())
    graph = schedule_graph(session.graph, seconds, sets.of)
    todo = set(session.ledger.todo)
    usual = scheduler_config(session.plan.run)
    config = replace(usual, swap_s=sets.swap_s, prompts_first=prompts_first)
    return Scheduler(graph, config, [t for t in graph.ids if t not in todo])

"""Attempts that failed and workers that are gone: what the log says of them, and who is started again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cluster.pool.events import Failed, Lost, TaskCall
from farm.events import Event, TaskFailed
from farm.scheduler import commands, events
from jobs.commands import resume_command
from jobs.errors import (
    CannotRun,
    CorruptArtifact,
    FailureKind,
    FarmError,
    StageError,
    StorageProblem,
    StoreUnusable,
)

if TYPE_CHECKING:
    from cluster.failures import CallFailure
    from farm.execution.dispatch import Dispatch


class Recovery:
    """Tells the scheduler of failures; what it commands is carried out by `dispatch`."""

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch, self.session, self.pool = dispatch, dispatch.session, dispatch.pool
        self.membership = dispatch.membership

    def failed(self, event: Failed) -> Iterator[Event]:
        """An attempt failed; where it took its worker along, that is replaced."""
        failure = event.failure
        if failure.kind is FailureKind.WORKER_LOST:
            others = self.pool.kill(event.worker)
            yield from self.lost(Lost(event.worker, (event.call, *others), failure))
            return
        call = event.call
        failed = events.AttemptFailed(
            call.task,
            event.worker,
            call.order.attempt,
            failure.kind,
            failure.message,
            getattr(failure.cause, "evidence", "") or None,
            self._lose_inputs(call.task, failure),
        )
        yield from self._follow(event.worker, call, failure, self.dispatch.handle(failed))

    def lost(self, event: Lost) -> Iterator[Event]:
        """A worker is gone, with all that it held."""
        failure, scheduler = event.failure, self.dispatch.scheduler
        yield self.session.gone(event.worker, failure.message)
        self._raise_if_hopeless(failure)
        if scheduler is None or not scheduler.knows(event.worker):
            self._start_again(event)
            return
        if failure.kind is FailureKind.OOM and event.calls:
            # The node ended the worker for the memory it took: its task needs less.
            call = event.calls[0]
            failed = events.WorkerDied(event.worker, failure.message, call.task, failure.kind)
            yield from self._follow(event.worker, call, failure, self.dispatch.handle(failed))
            return
        died_of = event.calls[0].task if event.calls else ""
        yield from self.dispatch.tell(events.WorkerDied(event.worker, failure.message, died_of))

    def require_hosts(self, tasks: Iterable[str], why: str) -> None:
        """Raises StorageProblem, which pauses the job, where a task that is made again has no worker: what
        was committed when the job was resumed gets none."""
        for task in tasks:
            stage = self.session.graph.tasks[task].stage
            if not self.dispatch.workforce.hosts(stage):
                store = self.session.store
                resume = resume_command(store.job_id, store.runs_url, self.session.scope.topology)
                again = f"{task} has to be made again, and no worker of this render hosts {stage}"
                raise StorageProblem(f"{why}; {again}: continue with `{resume}`")

    def _follow(
        self, worker: str, call: TaskCall, failure: CallFailure, orders: list[commands.Command]
    ) -> Iterator[Event]:
        """The failure and its consequence go to the log before that is carried out."""
        quarantined, then = consequence(call.task, orders)
        attempt, kind = call.order.attempt, failure.kind.value
        record = TaskFailed(call.task, worker, attempt, kind, failure.message, then)
        yield self.session.results.failed(record, quarantined)
        yield from self.dispatch.perform(orders, explained=call.task)

    def _lose_inputs(self, task: str, failure: CallFailure) -> tuple[str, ...]:
        """The inputs that turned out damaged; their commits are void from now on."""
        digest = failure.cause.digest if isinstance(failure.cause, CorruptArtifact) else ""
        needs = dict.fromkeys(need.task for need in self.session.graph.tasks[task].needs)
        lost = tuple(need for need in needs if digest and self.session.ledger.digests[need] == digest)
        for need in lost:
            self.session.results.lose(need)
            self.pool.drop(need)
        self.require_hosts(lost, failure.message)
        return lost

    def _start_again(self, event: Lost) -> None:
        """A worker that never served is started again. What keeps the last one of a stage from its storage
        pauses the job."""
        try:
            again = self.membership.tries_again(event.worker, event.failure.message)
        except CannotRun:
            if isinstance(event.failure.cause, StorageProblem):
                raise event.failure.cause from None
            raise
        if again:
            self.pool.replace(event.worker)

    def _raise_if_hopeless(self, failure: CallFailure) -> None:
        """What every worker would answer is reported to the user at once; a full disk pauses the job. Once
        workers serve, what another one lacks is a matter of its own node."""
        cause, serving = failure.cause, self.dispatch.scheduler is not None or bool(self.membership.heard)
        if isinstance(cause, StorageProblem) and (cause.full or not serving):
            raise cause
        if serving:
            return
        if isinstance(cause, FarmError) and not isinstance(cause, StageError):
            raise cause
        if failure.kind is FailureKind.INVALID:
            raise StoreUnusable(failure.message)


def consequence(task: str, orders: Iterable[commands.Command]) -> tuple[bool, str]:
    """Whether the task is quarantined, and what happens next in words."""
    for order in orders:
        if isinstance(order, commands.Quarantine) and order.task == task:
            return True, f"quarantined: {order.reason}"
        if isinstance(order, commands.PauseJob):
            return False, f"the job pauses: {order.reason}"
    return False, "tried again"

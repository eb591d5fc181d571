"""The render loop: what happens in the pool goes to the scheduler, its commands go to the pool.

The loop holds handles and small values only. Whatever ends it, the store says what is done, and the same job
continues from there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.inventory import UNKNOWN
from cluster.pool.events import Alive, Done, Failed, Lost, Placed, PoolEvent, Ready, Waiting
from farm.estimates.durations import Durations, Hardware, TaskTimes, keep_measured, read_durations
from farm.estimates.known import expected_s
from farm.events import (
    Event,
    GangRank,
    Notice,
    WorkerPlaced,
    WorkerReady,
)
from farm.execution.choosing import Choosing
from farm.execution.dispatch import Dispatch
from farm.execution.recovery import Recovery
from farm.execution.stopping import Stopping
from farm.scheduler import events
from farm.state.attempts import Activity
from farm.state.job_state import COMPUTED, FAILED, PAUSED
from farm.workers.membership import Membership
from farm.workers.reference_worker import ReferenceWorker
from farm.workers.stragglers import StragglerDetector
from jobs.errors import (
    StorageProblem,
)
from jobs.tasks.task import Stage
from jobs.tasks.topology import SHARED_STAGES

if TYPE_CHECKING:
    from cluster.pool.pool import WorkerPool
    from farm.session.session import JobSession
    from farm.workers.outage import Outage
    from farm.workers.workforce import Workforce

LONGEST_WAIT_S = 1.0
TRIM_S = 20.0
LOOK_S = 2.0


class RenderLoop:
    """One render on one pool. `run` yields the job's events until it ends."""

    def __init__(
        self,
        session: JobSession,
        pool: WorkerPool,
        workforce: Workforce,
        place: Hardware,
        outage: Outage | None = None,
        grace_s: float = 0.0,
    ) -> None:
        self.session, self.pool, self.workforce, self.place = session, pool, workforce, place
        self.outage = outage
        self.ledger = session.ledger
        self.known = read_durations(session.scope.runs_url)
        self.measured = Durations(self.known.means)
        self.membership = Membership(session, workforce)
        self.reference = ReferenceWorker(self.membership, place.device, session.plan.run.mixed_compute)
        self.stragglers, self._expected_s = StragglerDetector(), expected_s(place.engine)
        self.dispatch = Dispatch(session, pool, workforce, self.membership)
        self.recovery = Recovery(self.dispatch)
        self.stopping = Stopping(self.dispatch, grace_s)
        self.choosing = Choosing(self.dispatch, self._schedule)
        self._trimmed_s = self._looked_s = self._now_s()

    def _now_s(self) -> float:
        return self.pool.cluster.now_s()

    def stop(self, signal_name: str) -> None:
        """End the render, at the next turn or after its grace; for signal handlers."""
        self.stopping.signalled(signal_name)
        self.pool.wake()

    def run(self) -> Iterator[Event]:
        """The job's events; the last one is `JobFinished`."""
        try:
            yield from self._until_the_end()
        except StorageProblem as problem:
            self.dispatch.ending = PAUSED, str(problem)
        if self.measured.means != self.known.means:
            keep_measured(self.session.store, self.measured)
        assert self.dispatch.ending is not None
        yield from self.session.finish(*self.dispatch.ending)

    def _until_the_end(self) -> Iterator[Event]:
        if self.ledger.digests:
            yield from self._begin()
            yield from self._mend()
        while self.dispatch.ending is None:
            for event in self.pool.wait(self._wait_s()):
                yield from self._on(event)
            yield from self._turn()
            yield from self._mend()

    def _mend(self) -> Iterator[Event]:
        """A film that met a damaged segment: those alone are made again, by a worker that still lives. What
        people chose meanwhile comes after that."""
        dispatch = self.dispatch
        if dispatch.ending is None or dispatch.ending[0] not in (*COMPUTED, FAILED):
            return
        yield from self.session.mend()
        if self.ledger.todo:
            dispatch.computed, dispatch.ending = dispatch.ending, None
            self._schedule("a segment is damaged")
        else:
            yield from self.choosing.look_at_the_end()

    def _schedule(self, why: str) -> None:
        """From here on what the ledger lists is handed out, to workers that still live. Raises StorageProblem
        where none of them hosts it."""
        self.recovery.require_hosts(self.ledger.todo, why)
        self.dispatch.schedule(self.known.estimate(self.place))
        for worker in self.membership.members:
            self.pool.probe(worker)

    def _wait_s(self) -> float:
        scheduler = self.dispatch.scheduler
        if scheduler is None:
            return LONGEST_WAIT_S
        return min(LONGEST_WAIT_S, max(0.0, scheduler.next_wake_s() - self._now_s()))

    def _turn(self) -> Iterator[Event]:
        """What is due without an event: signals, requests, the clock, finished films."""
        dispatch = self.dispatch
        self.session.check_lock()
        busy = any(self.pool.busy(worker) for worker in self.membership.ready)
        yield from self.stopping.look(self._now_s(), busy)
        yield from self.choosing.look(self._now_s(), busy)
        if dispatch.ending is None and self.outage is not None:
            yield from self._look_for_an_outage(self.outage)
        yield from self._look_for_leaving_nodes()
        if self._now_s() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = self._now_s()
            give_back_memory()
        if dispatch.scheduler is not None and self._now_s() >= dispatch.scheduler.next_wake_s():
            yield from dispatch.tell(events.Tick())
        if dispatch.ending is None and not self.ledger.digests:
            yield from self._settle()
        if left_out := self.reference.left_out():
            yield self.session.record(Notice(left_out))
        yield from self.session.delivered()

    def _look_for_an_outage(self, outage: Outage) -> Iterator[Event]:
        for said in outage.look():
            yield self.session.record(Notice(said))
        if outage.cause:
            self.dispatch.ending = PAUSED, outage.cause

    def _look_for_leaving_nodes(self) -> Iterator[Event]:
        if self._now_s() - self._looked_s < LOOK_S:
            return
        self._looked_s = self._now_s()
        for worker in self.pool.leaving():
            yield from self.dispatch.tell(events.WorkerLeaving(worker))
            if not self.pool.busy(worker):
                self.pool.replace(worker)
                yield self.session.gone(worker, "its node goes away soon: it is started again elsewhere")

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
                yield from self.recovery.failed(event)
            case Lost():
                yield from self.recovery.lost(event)

    def _placed(self, event: Placed) -> Event:
        self.reference.placed(event.placement)
        stages = self.workforce.stages[event.worker]
        named = tuple(stage.value for stage in Stage if stage in stages)
        node = f"{event.placement.host}/{event.placement.node_id[:8]}"
        return self.session.record(WorkerPlaced(event.worker, node, named))

    def _on_ready(self, event: Ready) -> Iterator[Event]:
        self.membership.ready[event.worker] = event
        if self.place.device == UNKNOWN:
            self.place = replace(self.place, device=self.pool.cluster.inventory().device)
        device = event.placement.device
        ranks = tuple(GangRank(**rank) for rank in event.report.get("ranks", ()))
        yield self.session.record(WorkerReady(event.worker, device, event.seconds, ranks))
        if self.dispatch.scheduler is not None:
            yield from self._enlist(event.worker)

    def _on_alive(self, worker: str) -> Iterator[Event]:
        known = self.session.holdings.workers.get(worker)
        if known is not None and known.activity is Activity.SUSPENDED:
            yield self.session.record(WorkerReady(worker, known.device))
        yield from self.dispatch.tell(self.membership.introduced(worker))

    def _settle(self) -> Iterator[Event]:
        """Begin once it is clear whose report the job takes."""
        now = self._now_s()
        worker = self.reference.choose(now)
        if worker is None:
            if waiting := self.reference.waiting(now):
                yield self.session.record(Notice(waiting))
            return
        report = self.membership.ready[worker]
        self.place = replace(self.place, device=report.placement.accelerator or self.place.device)
        self.session.resolve(report.report)
        yield from self._begin()

    def _begin(self) -> Iterator[Event]:
        """The digests are known: from here on tasks are handed out."""
        session = self.session
        yield session.planned()
        session.deliver_complete()
        if session.complete:
            self.dispatch.ending = session.final_outcome, ""
            return
        self.dispatch.schedule(self.known.estimate(self.place))
        give_back_memory()
        for worker in tuple(self.membership.ready):
            yield from self._enlist(worker)

    def _enlist(self, worker: str) -> Iterator[Event]:
        """Let a ready worker serve, if what it makes has the job's bytes."""
        difference = self.membership.difference(worker)
        if difference and not self.session.plan.run.mixed_compute:
            yield from self._refuse(worker, difference)
            return
        if difference:
            self.membership.strangers.add(worker)
        yield from self.dispatch.tell(self.membership.introduced(worker))

    def _refuse(self, worker: str, difference: str) -> Iterator[Event]:
        self.pool.kill(worker)
        self.reference.refused(worker, difference)
        yield self.session.gone(worker, f"refused: its films would differ: {difference}")
        self.membership.leave_out(worker, f"{difference}. Use equal machines, or set run.mixed_compute: true")

    def _on_done(self, event: Done) -> Iterator[Event]:
        result, attempt = event.result, event.call.order.attempt
        latency_s = self.dispatch.latency_s(result.task, attempt, sum(result.detail.values()))
        if latency_s is not None:
            self.measured.observe_latency(latency_s)
        yield from self.session.results.take(result, event.worker, attempt)
        after_s = result.detail.get("commit_s", 0.0) + self.measured.latency_s
        done = events.TaskDone(result.task, event.worker, attempt, result.commit.size, after_s)
        yield from self.dispatch.tell(done)
        yield from self.session.settle(result.task)
        task = self.ledger.graph.tasks[result.task]
        ranks = self.workforce.ranks(event.worker) if task.stage in SHARED_STAGES else 1
        expected_s = self._expected_s(task) / self.measured.gang_speed(self.place, ranks)
        if slow := self.stragglers.observe(event.worker, task.stage, expected_s, result.seconds):
            yield self.session.record(Notice(slow))
        times = TaskTimes(
            result.seconds, result.detail.get("read_s", 0.0), result.detail.get("commit_s", 0.0)
        )
        if task.stage is Stage.DECODE:
            # Its ranks may have shared it: that says nothing of one device.
            ranks = self.workforce.ranks(event.worker)
        self.measured.observe(self.place.shared_by(ranks), task, times)


def give_back_memory() -> None:
    """Return to the system what was freed; the allocator keeps tens of megabytes of a long film's plan and
    of the small messages that came from other threads.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

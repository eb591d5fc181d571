"""Workers that fail: they rest, are probed, and are forgiven; the last one of a stage is never suspended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.scheduler.commands import Command, Probe, Suspend
from farm.scheduler.config import INFINITE_S, RestConfig
from farm.scheduler.graph import STAGES
from farm.scheduler.reasons import Reason, Why
from farm.scheduler.roster import NO_MODEL, Roster, Status, Worker

if TYPE_CHECKING:
    from farm.scheduler.tasks import TaskTable


class Health:
    """Moves workers between serving, resting, probing and retired; returns the commands that this takes."""

    def __init__(self, roster: Roster, tasks: TaskTable, config: RestConfig) -> None:
        self.roster = roster
        self.tasks = tasks
        self.config = config

    def came(self, worker: Worker) -> None:
        """The worker says it can serve. A resting one is believed only after its probe."""
        if worker.leaving or worker.status in (Status.PROBING, Status.RETIRED):
            self._up(worker)
        worker.alive, worker.leaving = True, False

    def _up(self, worker: Worker) -> None:
        worker.wake_s = INFINITE_S
        worker.resident = NO_MODEL
        self.roster.set_status(worker, Status.UP)

    def succeeded(self, worker: Worker) -> None:
        """A result came from the worker."""
        worker.streak = 0
        worker.fruitless = 0

    def lost(self, worker: Worker, reason: str, now: float) -> list[Command]:
        """The worker is gone: try it again after a rest, at once where nobody else can serve."""
        last = self.roster.last_for(worker, self.tasks.stage_left)
        forgiven = now - worker.lost_s > self.config.forgive_s
        worker.losses = 1 if forgiven else worker.losses + 1
        worker.fruitless += 1
        worker.lost_s, worker.alive, worker.leaving = now, False, False
        if worker.fruitless >= self.config.retire_after:
            worker.wake_s = INFINITE_S
            self.roster.set_status(worker, Status.RETIRED)
            return self._rouse(now)
        if last >= 0 and worker.losses == 1:
            probe = self._probe(worker, Reason(Why.PROBE_LAST, (STAGES[last].value,)), now)
            return [probe, *self._rouse(now)]
        rest_s = self.config.base_s if last >= 0 else self._rest_s(worker.losses)
        self._rest(worker, now + rest_s)
        if last >= 0:
            return self._rouse(now)
        return [Suspend(worker.id, worker.wake_s, Reason(Why.LOST, (reason, worker.losses, rest_s)))]

    def leaves(self, worker: Worker) -> list[Command]:
        """The worker's node goes away soon: the worker rests until it comes again on another."""
        worker.leaving = True
        self._rest(worker, INFINITE_S)
        return [Suspend(worker.id, worker.wake_s, Reason(Why.LEAVING))]

    def failed(self, worker: Worker, kind: str, now: float) -> list[Command]:
        """A task failed on the living worker: suspend it when it does nothing else."""
        worker.streak += 1
        if worker.streak < self.config.streak or worker.status != Status.UP:
            return []
        if self.roster.last_for(worker, self.tasks.stage_left) >= 0:
            return []
        rest_s = self._rest_s(worker.streak - self.config.streak + 1)
        self._rest(worker, now + rest_s)
        return [Suspend(worker.id, worker.wake_s, Reason(Why.UNRELIABLE, (worker.streak, kind, rest_s)))]

    def killed(self, worker: Worker, now: float) -> list[Command]:
        """The worker is being restarted after a hang."""
        worker.streak += 1
        worker.alive = False
        worker.wake_s = now + self.config.probe_s
        self.roster.set_status(worker, Status.PROBING)
        return self._rouse(now)

    def woken(self, worker: Worker, now: float) -> list[Command]:
        """The worker's rest is over."""
        return [self._probe(worker, Reason(Why.PROBE_DUE), now)]

    def _rest_s(self, times: int) -> float:
        return min(self.config.base_s * 2.0 ** (times - 1), self.config.most_s)

    def _rest(self, worker: Worker, until_s: float) -> None:
        worker.wake_s = until_s
        self.roster.set_status(worker, Status.RESTING)

    def _probe(self, worker: Worker, reason: Reason, now: float) -> Probe:
        worker.wake_s = now + self.config.probe_s
        self.roster.set_status(worker, Status.PROBING)
        return Probe(worker.id, reason)

    def _rouse(self, now: float) -> list[Command]:
        """Where a stage is left without a worker, probes the living ones that rest."""
        bare = [s for s, left in enumerate(self.tasks.stage_left) if left and not self.roster.up[s]]
        if not bare:
            return []
        return [
            self._probe(worker, Reason(Why.PROBE_LAST, (STAGES[stage].value,)), now)
            for worker in self.roster.workers
            if worker.status == Status.RESTING and worker.alive and not worker.leaving
            for stage in [s for s in worker.group.stages if s in bare][:1]
        ]

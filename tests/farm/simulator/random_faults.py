"""Seeded random plans of what breaks in a simulated run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.local.faults import Crash, Fail, Fate, Hang
from jobs.errors import FailureKind

if TYPE_CHECKING:
    from farm.scheduler.events import Event


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Chances per attempt, message and restart, and the share of tasks that fail wherever they run."""

    crash: float = 0.03
    host_loss: float = 0.005
    hang: float = 0.01
    cut_off: float = 0.01
    oom: float = 0.02
    memory_kill: float = 0.005
    bad_output: float = 0.02
    storage: float = 0.005
    lost_input: float = 0.01
    bug: float = 0.02
    poison: float = 0.01
    duplicate: float = 0.05
    late: float = 0.05
    no_restart: float = 0.2

    def scaled(self, factor: float) -> FaultRates:
        """All chances multiplied, none above one half."""
        values = {name: min(0.5, factor * getattr(self, name)) for name in self.__slots__}
        return FaultRates(**values)


class RandomFaults:
    """A seeded fault plan. `needs` maps a task to the ids it reads, so that inputs can get lost."""

    def __init__(self, seed: int, rates: FaultRates, needs: dict[str, tuple[str, ...]]) -> None:
        self.random = random.Random(seed)
        self.rates = rates
        self.needs = needs
        self._poisoned: dict[str, bool] = {}
        self._fates = (
            (rates.crash, self._crash),
            (rates.host_loss, self._host_loss),
            (rates.hang, self._hang),
            (rates.cut_off, self._cut_off),
            (rates.oom, self._oom),
            (rates.memory_kill, self._memory_kill),
            (rates.bad_output, self._bad_output),
            (rates.storage, self._storage),
            (rates.lost_input, self._lost_input),
            (rates.bug, self._bug),
        )

    def fate(self, worker: str, task: str, attempt: int, duration_s: float) -> Fate | None:
        after_s = duration_s * self.random.random()
        if self._is_poisoned(task):
            return Fail(after_s, FailureKind.BAD_OUTPUT, "always the same", f"digest of {task}")
        draw = self.random.random()
        for chance, make in self._fates:
            if draw < chance:
                return make(task, after_s)
            draw -= chance
        return None

    def deliveries(self, event: Event) -> Sequence[float]:
        draw = self.random.random()
        if draw < self.rates.duplicate:
            return (0.0, 30.0 * self.random.random())
        if draw < self.rates.duplicate + self.rates.late:
            return (10.0 * self.random.random(),)
        return (0.0,)

    def restarts(self, worker: str) -> bool:
        return self.random.random() >= self.rates.no_restart

    def _is_poisoned(self, task: str) -> bool:
        if task not in self._poisoned:
            self._poisoned[task] = self.random.random() < self.rates.poison
        return self._poisoned[task]

    def _crash(self, task: str, after_s: float) -> Fate:
        return Crash(after_s, noticed_s=2.0 * self.random.random())

    def _host_loss(self, task: str, after_s: float) -> Fate:
        return Crash(after_s, noticed_s=20.0 * self.random.random(), whole_host=True, reason="the node died")

    def _cut_off(self, task: str, after_s: float) -> Fate:
        return Crash(after_s, noticed_s=1.0, zombie_s=60.0 * self.random.random(), reason="no heartbeat")

    def _hang(self, task: str, after_s: float) -> Fate:
        return Hang(zombie_s=5000.0 * self.random.random() if self.random.random() < 0.3 else None)

    def _oom(self, task: str, after_s: float) -> Fate:
        return Fail(after_s, FailureKind.OOM, "out of memory")

    def _memory_kill(self, task: str, after_s: float) -> Fate:
        return Crash(after_s, noticed_s=1.0, reason="the node ran out of memory", kind=FailureKind.OOM)

    def _bad_output(self, task: str, after_s: float) -> Fate:
        return Fail(after_s, FailureKind.BAD_OUTPUT, "not finite", f"{self.random.getrandbits(64):x}")

    def _storage(self, task: str, after_s: float) -> Fate:
        return Fail(after_s, FailureKind.STORAGE, "disk full")

    def _lost_input(self, task: str, after_s: float) -> Fate | None:
        if not self.needs[task]:
            return None
        return Fail(
            after_s, FailureKind.STORAGE, "corrupt", lost_inputs=(self.random.choice(self.needs[task]),)
        )

    def _bug(self, task: str, after_s: float) -> Fate:
        return Fail(after_s, FailureKind.BUG, "an exception")

"""Whose report a job freezes: that of a worker of the class that most of its GPUs have.

Films of different GPU models differ, so the report that a job takes leaves the workers of every other class
out, for good. Which worker loads its models first is chance; how many there are of a class is not.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from cluster.inventory import TYPELESS

if TYPE_CHECKING:
    from cluster.pool.shell import Placement
    from farm.workers.membership import Membership

WINDOW_S = 10.0
"""How long others may follow the first worker that is ready, where types of GPUs tell nothing."""


class ReferenceWorker:
    """Chooses among the workers of a membership that are ready.

    `usual` is the type of most GPUs in the cluster: a worker without a place is taken to get one of those.
    With `mixed` no class is waited for: in the end all of them serve.
    """

    def __init__(self, membership: Membership, usual: str, mixed: bool) -> None:
        self.membership, self.usual, self.mixed = membership, usual, mixed
        self._places: dict[str, Placement] = {}
        self._refused: dict[str, str] = {}
        self._since_s = 0.0
        self._notified, self._notified_refused = False, 0

    def placed(self, placement: Placement) -> None:
        """A worker has found a place."""
        self._places[placement.worker] = placement

    def choose(self, now_s: float) -> str | None:
        """The worker whose report the job takes; None while that is open."""
        heard = self.membership.heard
        self._since_s = (self._since_s or now_s) if heard else 0.0
        wanted = self.wanted
        if wanted:
            return next((worker for worker in heard if self._type(worker) == wanted), None)
        reports = Counter(map(self._report, heard))
        most, every = max(reports.values(), default=0), len(self.membership.candidates)
        if 2 * most <= every and len(heard) < every and now_s - self._since_s < WINDOW_S:
            return None
        return next((worker for worker in heard if reports[self._report(worker)] == most), None)

    @property
    def wanted(self) -> str:
        """The type that most of the workers have; empty where types do not decide."""
        kinds = Counter(self._type(worker) for worker in sorted(self.membership.candidates))
        if self.mixed or not TYPELESS.isdisjoint(kinds):
            return ""
        most = max(kinds.values(), default=0)
        return self.usual if kinds[self.usual] == most else kinds.most_common(1)[0][0]

    def waiting(self, now_s: float) -> str:
        """What to tell the user, once, where workers are ready and another class is waited for."""
        heard, wanted = self.membership.heard, self.wanted
        if self._notified or not heard or not wanted or now_s - self._since_s < WINDOW_S:
            return ""
        self._notified = True
        kinds = " and ".join(dict.fromkeys(self._type(worker) for worker in heard))
        return (
            f"workers ready: {len(heard)} of {len(self.membership.candidates)}, on {kinds}. The job waits "
            f"for {wanted}, which most are to have: films of different GPU models differ. "
            "`run.mixed_compute: true` begins with what is there; the films are then marked `exact: false`"
        )

    def refused(self, worker: str, difference: str) -> None:
        """The worker does nothing for the job, as what it makes would differ."""
        self._refused[worker] = difference

    def left_out(self) -> str:
        """What to tell the user of GPUs that do nothing for the job; empty where there is nothing new."""
        if len(self._refused) == self._notified_refused:
            return ""
        self._notified_refused = len(self._refused)
        gpus = {request.id: request.gpus for request in self.membership.workforce.requests}
        out, why = sum(gpus[worker] for worker in self._refused), dict.fromkeys(self._refused.values())
        if not out:
            return ""
        return (
            f"GPUs left out: {out:g} of {sum(gpus.values()):g}. Their films would differ: {'; '.join(why)}. "
            "`run.mixed_compute: true` lets them help; the films are then marked `exact: false`"
        )

    def _type(self, worker: str) -> str:
        ready = self.membership.ready.get(worker)
        placement = ready.placement if ready else self._places.get(worker)
        return self.usual if placement is None else placement.accelerator or ""

    def _report(self, worker: str) -> str:
        return json.dumps(self.membership.ready[worker].report["fingerprint"], sort_keys=True)

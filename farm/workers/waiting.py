"""Whether a job waits for its first worker, for how long, and for whom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.pool.events import Lost, Placed, PoolEvent, Waiting
from farm.state.job_state import WaitingFor
from jobs.wording import amount

if TYPE_CHECKING:
    from cluster.inventory import WorkerRequest
    from farm.session.session import JobSession


class RoomWatch:
    """Follows a pool from its start. As long as no worker has a process, `state.json` says so; where GPUs are
    asked for, the workers on CPUs alone do not count."""

    def __init__(self, session: JobSession, requests: Sequence[WorkerRequest]) -> None:
        self.session = session
        counted = [request for request in requests if request.gpus] or list(requests)
        self._counted = {request.id for request in counted}
        self._placed: set[str] = set()
        self._wait = WaitingFor(time.time(), _wanted(counted))
        session.state.waits(self._wait)

    def take(self, event: PoolEvent) -> None:
        """Follows one event of the pool."""
        match event:
            case Placed() if event.worker in self._counted:
                self._placed.add(event.worker)
                self.session.state.waits(None)
            case Lost() if event.worker in self._placed:
                self._placed.discard(event.worker)
                self._wait = replace(self._wait, since_s=time.time())
            case Waiting() if not self._placed:
                self._wait = replace(self._wait, free=event.free, holders=event.holders)
                self.session.state.waits(self._wait)


def _wanted(requests: Sequence[WorkerRequest]) -> str:
    """`4 GPUs for 4 workers`; CPUs where no GPU is asked for."""
    gpus, cpus = sum(request.gpus for request in requests), sum(request.cpus for request in requests)
    what = amount(float(gpus), "GPU") if gpus else amount(float(cpus), "CPU")
    return f"{what} for {amount(len(requests), 'worker')}"

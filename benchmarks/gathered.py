"""A pool whose workers begin together: no start-up is in what is measured.

The farm hands out the first task when the first worker is ready, which is right for a user. On a small
machine the others come seconds later, in another order each time, and a makespan would tell of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from cluster.pool.events import PoolEvent, Ready
from cluster.pool.pool import WorkerPool

if TYPE_CHECKING:
    from cluster.inventory import WorkerRequest


class GatheredPool(WorkerPool):
    """Tells of no ready worker before all of them are."""

    def start(self, requests: Iterable[WorkerRequest]) -> None:
        asked = list(requests)
        self._due = {request.id for request in asked}
        self._held: list[PoolEvent] = []
        super().start(asked)

    def wait(self, timeout_s: float) -> list[PoolEvent]:
        told: list[PoolEvent] = []
        for event in super().wait(timeout_s):
            if self._due and isinstance(event, Ready):
                self._due.discard(event.worker)
                self._held.append(event)
            else:
                told.append(event)
        if not self._due:
            told, self._held = [*self._held, *told], []
        return told


@contextmanager
def gathered() -> Iterator[None]:
    """Every pool that is opened in this block begins with all of its workers."""
    with patch("cluster.pool.pool.WorkerPool", GatheredPool):
        yield

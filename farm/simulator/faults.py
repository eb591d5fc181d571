"""What can break in a simulated run: attempts (`cluster.local.faults`), messages and restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cluster.local.faults import Fates

if TYPE_CHECKING:
    from farm.scheduler.events import Event


class Faults(Fates, Protocol):
    """Decides what breaks. Asked in the order of virtual time, so a seeded plan replays exactly."""

    def deliveries(self, event: Event) -> Sequence[float]:
        """The delays, seconds, after which copies of a message arrive: `(0.0,)` for once and at once."""

    def restarts(self, worker: str) -> bool:
        """Whether a worker that is probed or restarted comes back."""

"""Notices to the user while workers wait for room in the cluster."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cluster.pool.events import Waiting
from cluster.pool.members import Member, homeless

if TYPE_CHECKING:
    from cluster.base import Cluster

MOST_NAMED = 3


class WaitNotices:
    """One event for all workers without a process: after `first_s`, then less and less often."""

    def __init__(self, cluster: Cluster, job: str, first_s: float) -> None:
        self._cluster, self._job, self._first_s = cluster, job, first_s
        self._reported_s = 0.0

    def due(self, members: Collection[Member], now_s: float) -> list[Waiting]:
        """The event, where it is time for one. `now_s` is of the cluster's clock."""
        waiting = [member for member in members if member.state == "placing"]
        if not waiting:
            self._reported_s = 0.0
            return []
        longest_s = now_s - min(member.since_s for member in waiting)
        if longest_s < max(self._first_s, 2 * self._reported_s):
            return []
        if not self._cluster.head_listens():
            # The questions below would hold the driver until the head is back.
            return []
        self._reported_s = longest_s
        return [self._event(members, waiting, longest_s)]

    def _event(self, members: Collection[Member], waiting: list[Member], longest_s: float) -> Waiting:
        names = ", ".join(str(member.request) for member in waiting[:MOST_NAMED])
        more = f" and {len(waiting) - MOST_NAMED} more" if len(waiting) > MOST_NAMED else ""
        inventory, free = self._cluster.inventory(), self._cluster.free()
        holders = self._cluster.holders(self._job)
        too_large = homeless(inventory, members, [member.request for member in waiting])
        cause = "no node is large enough" if too_large else "the cluster is busy or still growing"
        held = "".join(f"job {job} holds {gpus:g} GPU. " for job, gpus in holders.items())
        message = (
            f"waiting {longest_s:.0f} s for room for {names}{more}: {cause}. {held}"
            f"Free now: {free}; it has {inventory}{inventory.growth}"
        )
        return Waiting(waiting[0].request.id, message, free, holders)

"""When a cluster can no longer render a job: its nodes, or its head, are gone and do not come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.pool.pool import WorkerPool

LOOK_S = 2.0
NODE_GRACE_S = 120.0
HEAD_GRACE_S = 40.0
"""Ray ends a driver whose head has been away for 60 s, without a word to its caller."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for another node, and for the head, before the job pauses."""

    node_s: float = NODE_GRACE_S
    head_s: float = HEAD_GRACE_S


PATIENCE = Patience()


class Outage:
    """Watches the cluster beside a render loop; `cause` says what ends the render and how it goes on, empty
    until then. `again` is the command that continues the job.

    A Ray that this process started gets no other node: its loss is final at once.
    """

    def __init__(self, pool: WorkerPool, patience: Patience, again: str) -> None:
        self.pool, self.cluster, self.again = pool, pool.cluster, again
        self.node_s = 0.0 if self.cluster.local else patience.node_s
        self.head_s = patience.head_s
        self.cause = ""
        self._looked_s = 0.0
        self._since_s: dict[str, float] = {}

    def look(self) -> Iterator[str]:
        """What the user should know; call it at every turn."""
        now = self.cluster.now_s()
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        if not self.cluster.head_listens():
            yield from self._missing("head", f"the Ray head at {self.cluster.address}", self.head_s)
            return
        self._since_s.pop("head", None)
        if stranded := self.pool.stranded():
            names = ", ".join(map(str, stranded))
            what = f"a node that can hold {names} (the cluster has {self.cluster.inventory()})"
            yield from self._missing("node", what, self.node_s)
        else:
            self._since_s.pop("node", None)

    def _missing(self, part: str, what: str, grace_s: float) -> Iterator[str]:
        now = self.cluster.now_s()
        if part not in self._since_s and grace_s:
            yield f"no sign of {what}: the job pauses unless it comes back within {grace_s:.0f} s"
        since_s = self._since_s.setdefault(part, now)
        if now - since_s >= grace_s:
            self.cause = self._cause(what, now - since_s)

    def _cause(self, what: str, waited_s: float) -> str:
        if self.cluster.local:
            return f"this render's own Ray has failed: no sign of {what}. Continue with `{self.again}`"
        return f"no sign of {what} for {waited_s:.0f} s. Start it again, then continue with `{self.again}`"

"""What a pool asks of a cluster: Ray (`cluster.ray_cluster`), or one that is made up in this process
(`cluster.local`)."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cluster.failures import CallFailure
    from cluster.inventory import Inventory, WorkerRequest

Answer = tuple[str, int, str, Future[Any]]
"""Worker, incarnation, which call, and its outcome."""

Answers = SimpleQueue[Answer | None]
"""None lets the caller look around."""


class Actor(Protocol):
    """One process of a worker, which has the methods of `WorkerShell`; it may still wait for its place."""

    def call(self, method: str, *values: Any) -> Future[Any]:
        """Begin a call. The future carries its result, or what `Cluster.failure` reads."""

    def kill(self) -> None:
        """End the process; what it was called for never returns."""


class Cluster(Protocol):
    """Nodes, and a clock. `address` is that of its head; `local` says that this process started it, so that
    it never gets another node."""

    @property
    def address(self) -> str: ...

    @property
    def local(self) -> bool: ...

    def now_s(self) -> float:
        """The time that passes for the workers, seconds from any beginning."""

    def wait(self, answers: Answers, timeout_s: float) -> Answer | None:
        """The next answer; None after `timeout_s`, or when one waits that says so."""

    def head_listens(self) -> bool:
        """Whether the head process takes a connection."""

    def inventory(self) -> Inventory:
        """The living nodes; while the head does not listen, those that lived when it did."""

    def leaving(self) -> frozenset[str]:
        """The ids of the nodes that are drained: they go away soon, and take no new process."""

    def with_memory(self, inventory: Inventory, known: Inventory | None = None) -> Inventory:
        """The inventory with the memory of its GPUs; nodes in `known` are not asked again."""

    def free(self) -> str:
        """What nobody holds at the moment, for people."""

    def holders(self, job: str) -> dict[str, float]:
        """The GPUs that other jobs of the farm hold, by job."""

    def start(self, request: WorkerRequest, incarnation: int, job: str) -> Actor:
        """Ask for a process; it may wait for room. Nothing restarts it."""

    def failure(self, error: BaseException) -> CallFailure:
        """What the exception of a call's future means."""

    def instruments(self, job: str) -> Any | None:
        """Where numbers of a running job go (`farm`'s `Instruments`); None where nobody scrapes them."""

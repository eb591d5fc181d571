"""Nodes that are made up, and what happens to them."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.capacity import Room
from cluster.failures import CallFailure, raised
from cluster.inventory import Inventory, NodeFacts, WorkerRequest
from cluster.local.clock import VirtualClock
from cluster.local.faults import Fate, Fates
from cluster.local.process import LocalProcess, ProcessLost

if TYPE_CHECKING:
    from cluster.base import Answer, Answers
    from cluster.session import SessionConfig

FIRST_PID = 10_000_000
"""No process of a machine has such a number."""


def one_node(gpus: float, cpus: float = 8.0) -> NodeFacts:
    """A node without accelerators, as a machine whose GPUs are logical."""
    return NodeFacts("node", "here", gpus, cpus, object_store_bytes=1 << 30)


@dataclass(frozen=True, slots=True)
class Doom:
    """Befalls the attempts `attempts` of a task, counted from 1 in this cluster; every one where none is
    named."""

    task: str
    fate: Fate
    attempts: tuple[int, ...] = (1,)


class Dooms:
    """A plan of faults, task by task; implements `Fates`."""

    def __init__(self, *dooms: Doom) -> None:
        self.dooms = dooms

    def fate(self, worker: str, task: str, attempt: int, duration_s: float) -> Fate | None:
        for doom in self.dooms:
            if doom.task == task and (not doom.attempts or attempt in doom.attempts):
                return doom.fate
        return None


class LocalCluster:
    """Implements `Cluster`.

    `seconds(worker, task)` is what a task takes; `start_s` passes until a process that has room runs, and
    `load_s` until it has loaded. `fates` decides what breaks. `listening` is whether the head takes
    connections, `reach` the GPUs and CPUs that an autoscaler may bring; the maker of the cluster brings them.
    """

    def __init__(
        self,
        nodes: Iterable[NodeFacts] = (one_node(8),),
        seconds: Callable[[str, str], float] = lambda _worker, _task: 1.0,
        fates: Fates | None = None,
        *,
        start_s: float = 0.5,
        load_s: float = 1.0,
        local: bool = True,
        reach: tuple[float, float] | None = None,
    ) -> None:
        self.clock = VirtualClock()
        self.seconds, self.fates = seconds, fates
        self.start_s, self.load_s = start_s, load_s
        self.reach = reach
        self.local, self.address = local, "here:6379"
        self.listening = True
        self._every: list[LocalProcess] = []
        self._nodes = {node.id: node for node in nodes}
        self._drained: set[str] = set()
        self._known = self._inventory()
        self._attempts: Counter[str] = Counter()
        self._pids = FIRST_PID

    @contextmanager
    def connect(self, config: SessionConfig) -> Iterator[LocalCluster]:
        """The cluster as `open_session` gives it. Processes that are left over end with it."""
        try:
            yield self
        finally:
            for process in self._every:
                process.kill()
                process.release()

    # -- as a pool sees it ---------------------------------------------------------------------------------

    def now_s(self) -> float:
        return self.clock.now_s

    def wait(self, answers: Answers, timeout_s: float) -> Answer | None:
        self.clock.pass_time(timeout_s, lambda: not answers.empty())
        return None if answers.empty() else answers.get_nowait()

    def head_listens(self) -> bool:
        return self.listening

    def inventory(self) -> Inventory:
        if self.listening:
            self._known = self._inventory()
        return self._known

    def leaving(self) -> frozenset[str]:
        return frozenset(self._drained)

    def with_memory(self, inventory: Inventory, known: Inventory | None = None) -> Inventory:
        """Nodes that are made up tell at once."""
        return inventory

    def free(self) -> str:
        held = [process.request for process in self.processes if process.node is not None]
        gpus, cpus = sum(each.gpus for each in held), sum(each.cpus for each in held)
        has = self._inventory()
        return f"{has.gpus - gpus:g} GPU, {has.cpus - cpus:g} CPU"

    def holders(self, job: str) -> dict[str, float]:
        """Nobody else's."""
        return {}

    def start(self, request: WorkerRequest, incarnation: int, job: str) -> LocalProcess:
        process = LocalProcess(self, request, incarnation)
        self._every.append(process)
        self.seat()
        return process

    def failure(self, error: BaseException) -> CallFailure:
        if isinstance(error, ProcessLost):
            return CallFailure(error.kind, str(error), worker_gone=True)
        return raised(error, "".join(traceback.format_exception(error)))

    def instruments(self, job: str) -> None:
        """Nobody scrapes numbers here."""

    @property
    def processes(self) -> list[LocalProcess]:
        """Those that live, or wait for room."""
        return [process for process in self._every if not process.gone]

    # -- what befalls it -----------------------------------------------------------------------------------

    def process(self, worker: str) -> LocalProcess:
        """The worker's present process."""
        return next(process for process in reversed(self.processes) if process.request.id == worker)

    def join(self, node: NodeFacts) -> None:
        """Another node."""
        self._nodes[node.id] = node
        self.seat()

    def drain(self, node: str) -> None:
        """A node is about to be lost."""
        self._drained.add(node)

    def lose(self, node: str) -> None:
        """A node is gone, with all that runs on it."""
        lost = self._nodes.pop(node)
        self._drained.discard(node)
        for process in self._on(lost):
            process.die(f"its node died: {node}")

    # -- as its processes see it ---------------------------------------------------------------------------

    def fate(self, worker: str, task: str, seconds: float) -> Fate | None:
        """What becomes of the attempt that begins."""
        self._attempts[task] += 1
        return self.fates.fate(worker, task, self._attempts[task], seconds) if self.fates else None

    def neighbours(self, process: LocalProcess) -> list[LocalProcess]:
        """All processes of its node, itself included."""
        return [other for other in self.processes if other.node == process.node]

    def seat(self) -> None:
        """Give those that wait a place where there is room, on the emptiest node first."""
        for process in [each for each in self.processes if each.node is None]:
            staying = [node for node in self._nodes.values() if node.id not in self._drained]
            for node in sorted(staying, key=lambda node: len(self._on(node))):
                gpus = self._room(node).take(process.request)
                if gpus is not None:
                    process.settle(node, gpus, self.start_s)
                    break

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def _inventory(self) -> Inventory:
        nodes = tuple(sorted(self._nodes.values(), key=lambda node: (node.host, node.id)))
        return Inventory(nodes, *(self.reach or (None, None)))

    def _on(self, node: NodeFacts) -> list[LocalProcess]:
        return [process for process in self.processes if process.node == node]

    def _room(self, node: NodeFacts) -> Room:
        room = Room(node)
        for process in self._on(node):
            room.hold(process.request, process.gpus)
        return room

"""What the cluster has, and whether it can ever hold the workers that a job asks for.

Ray lets an actor that fits nowhere wait for ever in silence, so the question is answered here, before any
exists.
"""

from __future__ import annotations

import math
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import CapacityError

EPSILON = 1e-6
HEAD_ANSWER_S = 1.0
UNKNOWN = "gpu"
"""The type of a GPU that does not tell."""

TYPELESS = frozenset({"", "cpu", UNKNOWN})
"""Types that tell nothing of a GPU's class."""

DEVICE_GIB = {
    "H200": 141.0, "H100": 80.0, "A100-80G": 80.0, "A100": 40.0, "L40S": 48.0, "L40": 48.0, "A10G": 24.0,
    "L4": 24.0, "T4": 16.0, "V100": 16.0,
}  # fmt: skip
"""Memory by the accelerator type that Ray reports, for nodes that do not tell; where models differ in size,
the smaller one."""


MODEL_NUMBER = re.compile(r"\w+\s+((?:[A-Z]+\s+)*[A-Z0-9]*\d[A-Z0-9]*)")
"""The words in capitals before and including the first with a digit, behind the maker's name."""


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """What one worker asks of a node. `gpus` may be a fraction below one, or a whole number."""

    id: str
    gpus: float = 0.0
    cpus: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{value:g} {name}" for value, name in ((self.gpus, "GPU"), (self.cpus, "CPU")) if value]
        parts += [f"label {key}={value}" for key, value in self.labels.items()]
        return f"{self.id} ({', '.join(parts) or 'no resources'})"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One living node: totals, not what is free at the moment. `accelerator` is None for logical GPUs,
    `device_gib` the memory of its smallest GPU where it was asked (cluster/device_memory.py)."""

    id: str
    host: str
    gpus: float
    cpus: float
    accelerator: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    object_store_bytes: float = 0.0
    device_gib: float | None = None

    def __str__(self) -> str:
        kind = f" {self.accelerator}" if self.accelerator else ""
        return f"{self.host}: {self.gpus:g}{kind} GPU, {self.cpus:g} CPU"


@dataclass(frozen=True, slots=True)
class Inventory:
    """The living nodes, and how many GPUs and CPUs an autoscaler may reach (None without one)."""

    nodes: tuple[NodeFacts, ...]
    autoscale_gpus: float | None = None
    autoscale_cpus: float | None = None

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    @property
    def cpus(self) -> float:
        return sum(node.cpus for node in self.nodes)

    @property
    def reach_gpus(self) -> float:
        """The GPUs there are, or may be once the autoscaler has brought what it may."""
        return max(self.gpus, self.autoscale_gpus or 0.0)

    @property
    def reach_cpus(self) -> float:
        """The CPUs that workers of one CPU each find, now or once the autoscaler has brought what it may."""
        return max(float(sum(int(node.cpus) for node in self.nodes)), self.autoscale_cpus or 0.0)

    @property
    def device(self) -> str:
        """What most workers compute on: the accelerator's type, `cpu` behind logical GPUs, or `UNKNOWN` where
        no GPU has come yet."""
        gpus: dict[str, float] = {}
        for node in self.nodes:
            if node.gpus:
                kind = node.accelerator or "cpu"
                gpus[kind] = gpus.get(kind, 0.0) + node.gpus
        if gpus:
            return max(gpus, key=gpus.__getitem__)
        return UNKNOWN if self.reach_gpus else "cpu"

    def device_gib(self, every: bool = False) -> float | None:
        """Memory of one GPU, GiB: of the type that most have, or of the smallest where `every` one counts;
        None where one of those is logical, or neither its node nor its type tells."""
        device, told = self.device, self._told_gib()
        counted = [node for node in self.nodes if node.gpus and (every or node.accelerator == device)]
        sizes = [node.device_gib or told.get(node.accelerator or "") for node in counted]
        known = [size for size in sizes if size is not None]
        return min(known) if known and len(known) == len(sizes) else None

    def _told_gib(self) -> dict[str, float]:
        """Memory by type: the smallest that a node told of, or what such GPUs have at least."""
        told: dict[str, float] = {}
        for node in self.nodes:
            if node.accelerator and node.device_gib:
                told[node.accelerator] = min(node.device_gib, told.get(node.accelerator, math.inf))
        return {**DEVICE_GIB, **told}

    def node(self, node_id: str) -> NodeFacts | None:
        return next((node for node in self.nodes if node.id == node_id), None)

    @property
    def growth(self) -> str:
        """What an autoscaler may still bring, to be said behind what there is; empty without one."""
        if self.autoscale_gpus is None:
            return ""
        limit = "any number of" if math.isinf(self.autoscale_gpus) else f"{self.autoscale_gpus:g}"
        return f" (its autoscaler may reach {limit} GPU)"

    def __str__(self) -> str:
        return "; ".join(map(str, self.nodes)) or "no node"


_last: dict[str, Inventory] = {}
"""What each cluster had when it was asked last, by the address of its head."""


def read_inventory() -> Inventory:
    """Ask the connected cluster what it has now; while its head does not listen, what it had last: Ray's own
    question would hold the caller until Ray ends the process."""
    import ray

    address = ray.get_runtime_context().gcs_address if ray.is_initialized() else ""
    if not address or address not in _last or listens(address):
        nodes = (_node_facts(node) for node in ray.nodes() if node["Alive"])
        ordered = tuple(sorted(nodes, key=lambda node: (node.host, node.id)))
        _last[address] = Inventory(ordered, *_autoscaler_limits())
    return _last[address]


def listens(address: str) -> bool:
    """Whether somebody takes connections at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=HEAD_ANSWER_S).close()
    except (OSError, ValueError):
        return False
    return True


def _node_facts(node: dict) -> NodeFacts:
    resources = node["Resources"]
    kinds = [name.split(":", 1)[1] for name in resources if name.startswith("accelerator_type:")]
    return NodeFacts(
        id=node["NodeID"],
        host=node["NodeManagerHostname"],
        gpus=resources.get("GPU", 0.0),
        cpus=resources.get("CPU", 0.0),
        accelerator=kinds[0] if kinds else None,
        labels=dict(node.get("Labels") or {}),
        object_store_bytes=resources.get("object_store_memory", 0.0),
    )


def _autoscaler_limits() -> tuple[float | None, float | None]:
    """The most GPUs and CPUs that the cluster's autoscaler may bring up, where it says so; infinite where
    nothing bounds it."""
    from ray._private.state import state

    limits = state.get_max_resources_from_cluster_config()
    if limits is None:
        return None, None
    return _limit(limits.get("GPU", 0)), _limit(limits.get("CPU", 0))


def _limit(count: float) -> float:
    return math.inf if count >= sys.maxsize else float(count)


def check_capacity(inventory: Inventory, requests: Sequence[WorkerRequest]) -> None:
    """Raise `CapacityError` when these workers can never all be placed, busy or not.

    Larger requests are placed first, each on the first node that has room, which is exact for the topologies
    we write (whole GPUs, or one kind of fraction).
    """
    asked = sum(request.gpus for request in requests)
    if inventory.autoscale_gpus is not None and asked <= inventory.reach_gpus + EPSILON:
        return
    left = _unplaceable([Room(node) for node in inventory.nodes], requests)
    if left:
        raise CapacityError(_shortage(inventory, requests, left))


def require_gpu(inventory: Inventory) -> None:
    """Raise `CapacityError` for a cluster that has no GPU, nor may get one, for workers that need one."""
    if inventory.reach_gpus:
        return
    raise CapacityError(
        f"the cluster has no GPU ({inventory}), and workers are counted by GPUs. Start Ray with "
        "`--num-gpus N` on each node that shall render, as in `ray start --address HEAD:6379 --num-gpus 2`: "
        "where a node has none, N logical ones are N workers on its CPUs. Or render without any: "
        "`--topology mono=2@0`."
    )


def without_room(
    inventory: Inventory, placed: Mapping[str, Sequence[WorkerRequest]], waiting: Sequence[WorkerRequest]
) -> list[WorkerRequest]:
    """Those of the `waiting` workers that no living node can ever hold beside the `placed` ones (by node id),
    whatever else it is busy with; none where an autoscaler may bring a node."""
    if inventory.autoscale_gpus is not None:
        return []
    rooms = [Room(node) for node in inventory.nodes]
    for node, room in zip(inventory.nodes, rooms, strict=True):
        for request in placed.get(node.id, ()):
            room.take(request)
    return _unplaceable(rooms, waiting)


def _unplaceable(rooms: Sequence[Room], requests: Sequence[WorkerRequest]) -> list[WorkerRequest]:
    order = sorted(requests, key=lambda request: (-request.gpus, -request.cpus))
    return [request for request in order if all(room.take(request) is None for room in rooms)]


class Room:
    """What is left of one node: each GPU by itself, CPUs together."""

    def __init__(self, node: NodeFacts) -> None:
        self._node = node
        self._gpus = [1.0] * int(node.gpus)
        self._cpus = node.cpus

    def take(self, request: WorkerRequest) -> list[int] | None:
        """Place a worker here: the GPUs that it gets, or None without room."""
        if any(self._node.labels.get(key) != value for key, value in request.labels.items()):
            return None
        if request.cpus > self._cpus + EPSILON:
            return None
        slots = self._slots(request.gpus)
        if slots is not None:
            self.hold(request, slots)
        return slots

    def hold(self, request: WorkerRequest, slots: Sequence[int]) -> None:
        """A worker is here, on these GPUs."""
        for slot in slots:
            self._gpus[slot] -= min(1.0, request.gpus)
        self._cpus -= request.cpus

    def _slots(self, gpus: float) -> list[int] | None:
        """The GPUs that would serve `gpus`, or None; a fraction goes to the fullest GPU with room for it."""
        if gpus <= 0:
            return []
        share, count = min(1.0, gpus), max(1, round(gpus))
        fits = [index for index, left in enumerate(self._gpus) if left >= share - EPSILON]
        fits.sort(key=lambda index: self._gpus[index])
        return fits[:count] if len(fits) >= count else None


def _shortage(inventory: Inventory, requests: Sequence[WorkerRequest], left: Sequence[WorkerRequest]) -> str:
    gpus, cpus = sum(r.gpus for r in requests), sum(r.cpus for r in requests)
    rest = f" and {len(left) - 4} more" if len(left) > 4 else ""
    return (
        f"{len(requests)} workers ask for {gpus:g} GPU and {cpus:g} CPU; the cluster has "
        f"{inventory.gpus:g} GPU and {inventory.cpus:g} CPU{inventory.growth}: {inventory}. No room for "
        f"{', '.join(map(str, left[:4]))}{rest}. Take a smaller --topology, give workers a "
        "fraction of a GPU, or add nodes."
    )


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA device node (also under WSL)."""
    return count_gpus() > 0


def count_gpus() -> int:
    """NVIDIA device nodes of this machine; under WSL, which has one node for all, at least 1."""
    return len(list(Path("/dev").glob("nvidia[0-9]*"))) or int(Path("/dev/dxg").exists())


def local_device() -> str:
    """The first GPU of this machine as Ray names its type, such as `H200`; `cpu` without one.

    Read from the driver's files: asking Ray or CUDA would take seconds.
    """
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for model in file.read_text().partition("Model:")[2].splitlines()[:1]:
            if name := device_type(model.strip()):
                return name
    return "cpu" if not count_gpus() else UNKNOWN


def device_type(model: str) -> str:
    """Ray's name for a GPU model: `NVIDIA H100 80GB HBM3` is `H100`, `NVIDIA GeForce RTX 4090` is
    `GeForce-RTX-4090`. Ray's own function is private and takes Ray's start-up time to import; a test compares
    the two."""
    capitals = MODEL_NUMBER.match(model)
    name = capitals.group(1) if capitals else model.removeprefix("NVIDIA ")
    return "-".join(name.split())

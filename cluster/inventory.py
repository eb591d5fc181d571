"""What the cluster has: living nodes, their GPUs and CPUs, and what an autoscaler may bring."""

from __future__ import annotations

import math
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

from cluster.ray_private import most_resources

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


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """What one worker asks of a node. `gpus` may be a fraction below one, or a whole number. One of several
    `ranks` is a gang; what it asks for is for all of them."""

    id: str
    gpus: float = 0.0
    cpus: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)
    ranks: int = 1

    def __str__(self) -> str:
        parts = [f"a gang of {self.ranks}"] if self.ranks > 1 else []
        parts += [f"{value:g} {name}" for value, name in ((self.gpus, "GPU"), (self.cpus, "CPU")) if value]
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
    def node_gpus(self) -> float:
        """The GPUs of the node that has most; any number where an autoscaler may bring another."""
        if self.autoscale_gpus is not None:
            return math.inf
        return max((node.gpus for node in self.nodes), default=0.0)

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
        device, reported = self.device, self._reported_gib()
        counted = [node for node in self.nodes if node.gpus and (every or node.accelerator == device)]
        sizes = [node.device_gib or reported.get(node.accelerator or "") for node in counted]
        known = [size for size in sizes if size is not None]
        return min(known) if known and len(known) == len(sizes) else None

    def _reported_gib(self) -> dict[str, float]:
        """Memory by type: the smallest that a node reported, or what such GPUs have at least."""
        reported: dict[str, float] = {}
        for node in self.nodes:
            if node.accelerator and node.device_gib:
                reported[node.accelerator] = min(node.device_gib, reported.get(node.accelerator, math.inf))
        return {**DEVICE_GIB, **reported}

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


def _node_facts(node: dict[str, Any]) -> NodeFacts:
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
    limits = most_resources()
    if limits is None:
        return None, None
    return _limit(limits.get("GPU", 0)), _limit(limits.get("CPU", 0))


def _limit(count: float) -> float:
    return math.inf if count >= sys.maxsize else float(count)

"""Whether a cluster can ever hold the workers that a job asks for.

Ray lets an actor that fits nowhere wait for ever in silence, so the question is answered here, before any
exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from jobs.errors import CapacityError

if TYPE_CHECKING:
    from cluster.inventory import Inventory, NodeFacts, WorkerRequest

EPSILON = 1e-6


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

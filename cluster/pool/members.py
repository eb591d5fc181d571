"""The driver's side of one worker process: the actor behind it, what it holds and how far it has come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cluster.base import Actor
from cluster.capacity import without_room
from cluster.inventory import Inventory, WorkerRequest
from cluster.pool.events import TaskCall
from cluster.pool.shell import Placement


@dataclass(slots=True)
class Member:
    """One incarnation of a worker. `state`: placing, placed, loading, ready or gone."""

    request: WorkerRequest
    incarnation: int
    actor: Actor
    state: str
    since_s: float
    placement: Placement | None = None
    calls: dict[str, TaskCall] = field(default_factory=dict)
    pending: dict[str, Future[Any]] = field(default_factory=dict)
    heard_s: float = 0.0
    probed: bool = False


def homeless(
    inventory: Inventory, members: Iterable[Member], waiting: Sequence[WorkerRequest]
) -> list[WorkerRequest]:
    """Those of `waiting` that no living node can hold beside the members that are there."""
    placed: dict[str, list[WorkerRequest]] = {}
    for member in members:
        if member.placement is not None and member.state != "gone":
            placed.setdefault(member.placement.node_id, []).append(member.request)
    return without_room(inventory, placed, waiting)


def living_on(nodes: Collection[str], members: Iterable[Member]) -> tuple[str, ...]:
    """The workers that are on one of these nodes."""
    placed = [(member.request.id, member.placement) for member in members if member.state != "gone"]
    return tuple(worker for worker, placement in placed if placement and placement.node_id in nodes)

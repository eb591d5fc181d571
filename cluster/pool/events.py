"""What is handed to the workers of a pool, and what is heard of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cluster.failures import CallFailure
from cluster.pool.shell import Placement


@dataclass(frozen=True, slots=True)
class TaskCall:
    """One task for one worker. `uses`: earlier tasks whose payloads to hand over; `share`: keep this one, of
    about `size_bytes`, where there is room."""

    task: str
    order: Any
    uses: tuple[str, ...] = ()
    share: bool = False
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """Something that happened to `worker`."""

    worker: str


@dataclass(frozen=True, slots=True)
class Waiting(PoolEvent):
    """This worker, and perhaps others, have no process yet: the cluster is busy, or still growing.

    `free` is what nobody holds at the moment, `holders` are the GPUs that other jobs of the farm hold.
    """

    message: str
    free: str = ""
    holders: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed(PoolEvent):
    """The worker's process runs; models are not loaded yet."""

    placement: Placement


@dataclass(frozen=True, slots=True)
class Ready(PoolEvent):
    """The worker has loaded its models, `seconds` after it was placed."""

    placement: Placement
    report: dict[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Done(PoolEvent):
    """A call returned."""

    call: TaskCall
    result: Any


@dataclass(frozen=True, slots=True)
class Failed(PoolEvent):
    """A call raised; the worker lives."""

    call: TaskCall
    failure: CallFailure


@dataclass(frozen=True, slots=True)
class Lost(PoolEvent):
    """The worker's process is gone, or could not start; `calls` went with it. `failure` says why."""

    calls: tuple[TaskCall, ...]
    failure: CallFailure


@dataclass(frozen=True, slots=True)
class Alive(PoolEvent):
    """The worker answered a probe."""

"""What can befall an attempt, here and in the farm's simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jobs.errors import FailureKind


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt fails after a while, and the worker lives."""

    after_s: float
    kind: FailureKind
    message: str = ""
    output_digest: str | None = None
    lost_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crash:
    """The worker, or everything on its host, dies after a while; the driver hears of it `noticed_s` later.

    `zombie_s` after the crash the result comes all the same: the process was only cut off. `kind` is `oom`
    where the node ended it for the memory that it took.
    """

    after_s: float
    noticed_s: float = 0.0
    whole_host: bool = False
    zombie_s: float | None = None
    reason: str = "the process was killed"
    kind: FailureKind = FailureKind.WORKER_LOST


@dataclass(frozen=True, slots=True)
class Hang:
    """The attempt does not end; with `zombie_s` its result comes all the same, that long after its start."""

    zombie_s: float | None = None


Fate = Fail | Crash | Hang


class Fates(Protocol):
    """Decides what breaks. Asked in the order of virtual time, so a seeded plan replays exactly."""

    def fate(self, worker: str, task: str, attempt: int, duration_s: float) -> Fate | None:
        """What happens to an attempt of that duration; None when it succeeds."""

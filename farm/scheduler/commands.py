"""What the scheduler asks for. Commands are carried out in the order given; each says why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farm.scheduler.reasons import Reason


class Outcome(StrEnum):
    """How a job ended."""

    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Assign:
    """Hand the task to the worker. A worker runs what it holds in the order of its assignments.

    `attempt` grows with every assignment of the task; messages about it carry it back. `ladder` names the
    measures against running out of memory that this attempt must apply, mildest first (see `jobs.failures`);
    usually empty.
    """

    task: str
    worker: str
    attempt: int
    ladder: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class Release:
    """Every task that reads this one's payload is committed: cached and evictable copies may go."""

    task: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the worker's process: `task` passed its deadline. Everything the worker held is requeued already.

    Restart it and answer with `WorkerReady`, or `WorkerLost` where that fails.
    """

    worker: str
    task: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Suspend:
    """The worker gets nothing until it answered a `Probe` at or after `until_s`. What it runs may finish."""

    worker: str
    until_s: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Probe:
    """See whether the worker can serve, restarting it where needed.

    Answer with `WorkerReady` or `WorkerLost`.
    """

    worker: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The task is quarantined, and with it the tasks that need it; everything else goes on."""

    task: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PauseJob:
    """Nothing more is handed out until `Resume`: the cause needs the user."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Finish:
    """The last command of a job."""

    outcome: Outcome
    reason: Reason


Command = Assign | Release | Kill | Suspend | Probe | Quarantine | PauseJob | Finish

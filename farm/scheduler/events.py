"""What the scheduler reacts to. Each executor (driver, simulator) turns what it sees into these values.

`worker` and `task` are ids, `attempt` is the number that the matching `Assign` carried: a message with any
other number is from a retired worker, and changes nothing. Messages may come late, twice or out of
order.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import FailureKind
from jobs.tasks.task import Stage


@dataclass(frozen=True, slots=True)
class WorkerLoaded:
    """A worker has loaded what its stages need: new, restarted, or answering a `Probe`."""

    worker: str
    stages: frozenset[Stage]
    host: str = ""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """The worker's process, node or device is gone, or did not answer a `Probe`. What it held is requeued.

    `task` is the one that it died of, where that is known; else it is taken to be the oldest. `kind` is `oom`
    where the process was ended for the memory it took: that task climbs the ladder.
    """

    worker: str
    reason: str
    task: str = ""
    kind: FailureKind = FailureKind.WORKER_LOST


@dataclass(frozen=True, slots=True)
class WorkerLeaving:
    """The worker's node goes away soon: what it holds may finish, it gets nothing more. May be repeated."""

    worker: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """The task's result is committed. `payload_bytes` is the artifact's size, `after_s` the time from the end
    of the step until the worker can have new work: its result is written, reported and answered."""

    task: str
    worker: str
    attempt: int
    payload_bytes: int = 0
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """One attempt failed, and the worker lives.

    `output_digest` is the SHA-256 of a bad output, where there was one: the same twice means that no retry
    helps. `lost_inputs` are tasks whose committed artifact turned out missing or corrupt; the driver has
    voided them, and they are rendered again before this task is.
    """

    task: str
    worker: str
    attempt: int
    kind: FailureKind
    message: str = ""
    output_digest: str | None = None
    lost_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed: deadlines and suspensions are looked at. Due at `Scheduler.next_wake_s`."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Hand out nothing more; what runs may finish."""

    reason: str = "paused by the user"


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after `Pause` or after a `PauseJob` whose cause was mended."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """Tasks that had not to run have to now: what they waited for outside the graph is there."""

    tasks: tuple[str, ...]


Event = (
    WorkerLoaded | WorkerDied | WorkerLeaving | TaskDone | AttemptFailed | Tick | Pause | Resume | Reopened
)

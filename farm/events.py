"""What happens while a job renders, as typed values.

Both executors yield them, the command line shows them, `events/` keeps them as JSON lines, the Python API
hands them to the caller. `at_s` in the stored record is seconds since the epoch; nothing that reaches a
film depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from jobs.records import FORMAT, Form, Unreadable

SHARED = "encode"
"""Where encode tasks are counted: they belong to no single video."""


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `name` is the tag in the stored record."""

    name: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class JobPlanned(Event):
    """The plan stands and the store was read: `reused` of `tasks` stage tasks need no work.

    `totals` counts stage tasks by video and stage, `done` those already committed. Encodes that several
    chunks share stand under the video name `SHARED`. `frames` is the sum over `videos`.
    """

    name: ClassVar[str] = "job_planned"
    job: str
    run_dir: str = ""
    videos: tuple[str, ...] = ()
    frames: int = 0
    tasks: int = 0
    reused: int = 0
    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    done: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerPlaced(Event):
    """A worker process exists on `node`; its model is not loaded yet."""

    name: ClassVar[str] = "worker_placed"
    worker: str
    node: str = ""
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GangRank:
    """One rank of a gang: its process, what it computes on, by its name and its number on the node, and the
    device memory that it has held, GiB."""

    rank: int
    pid: int = 0
    device: str = ""
    name: str = ""
    gpu: str = ""
    peak_gib: float = 0.0

    def __str__(self) -> str:
        number = f" {self.gpu}" if self.gpu else ""
        return f"rank {self.rank} on {self.name or self.device}{number}, {self.peak_gib:.1f} GiB"


@dataclass(frozen=True, slots=True)
class WorkerReady(Event):
    """The worker has loaded what its stages need, after `seconds`. A gang says so of all its `ranks`."""

    name: ClassVar[str] = "worker_ready"
    worker: str
    device: str = ""
    seconds: float = 0.0
    ranks: tuple[GangRank, ...] = ()


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt that ended with its worker."""

    task: str
    attempt: int


@dataclass(frozen=True, slots=True)
class WorkerGone(Event):
    """The worker was lost, killed or refused; `lost` is all that it held, the running attempt first."""

    name: ClassVar[str] = "worker_gone"
    worker: str
    reason: str = ""
    lost: tuple[LostAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerSuspended(Event):
    """The worker gets nothing more until it has rested and answered; what it holds may finish."""

    name: ClassVar[str] = "worker_suspended"
    worker: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskStarted(Event):
    """A stage task was handed to a worker, for the reason given."""

    name: ClassVar[str] = "task_started"
    task: str
    worker: str
    attempt: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TaskCommitted(Event):
    """A stage task's result is in the store.

    `seconds` is the stage step alone, `bytes` the artifact's size.
    """

    name: ClassVar[str] = "task_committed"
    task: str
    worker: str
    attempt: int = 1
    seconds: float = 0.0
    bytes: int = 0
    exact: bool = True


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    """One attempt failed; `then` says what happens next (retry, quarantine, pause). A task that is
    quarantined without an attempt of its own has no worker."""

    name: ClassVar[str] = "task_failed"
    task: str
    worker: str = ""
    attempt: int = 0
    kind: str = ""
    message: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True)
class TaskSuperseded(Event):
    """An attempt ended after another one's result was taken: it counts for nothing, its worker is free."""

    name: ClassVar[str] = "task_superseded"
    task: str
    worker: str
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class TaskVoided(Event):
    """`farm retry` took a result back; only logs hold it."""

    name: ClassVar[str] = "task_voided"
    task: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something the user should know: a wait and its cause, a pause, a takeover."""

    name: ClassVar[str] = "notice"
    message: str


@dataclass(frozen=True, slots=True)
class MadeWith:
    """One of several kinds of software and device that a film was made with: by name of what it is made of,
    the `shots` whose pictures it made, its tasks by stage, and `why` it was that one."""

    software: dict[str, str]
    shots: tuple[str, ...]
    stages: dict[str, int]
    why: str


@dataclass(frozen=True, slots=True)
class FilmDelivered(Event):
    """A finished film (or `preview` of an unfinished one) stands at `path`; `exact` and `made_with` are those
    of `FilmState`."""

    name: ClassVar[str] = "film_delivered"
    video: str
    path: str
    sha256: str = ""
    frames: int = 0
    fps: float = 0.0
    preview: bool = False
    exact: bool = True
    made_with: tuple[MadeWith, ...] = ()


@dataclass(frozen=True, slots=True)
class JobFinished(Event):
    """The job ended; `outcome` is a key of `job_state.EXIT_CODES`, `state` is that of `state.json`."""

    name: ClassVar[str] = "job_finished"
    job: str
    outcome: str
    state: dict[str, Any] = field(default_factory=dict)


EVENT_TYPES: Mapping[str, type[Event]] = {
    kind.name: kind
    for kind in (
        JobPlanned,
        WorkerPlaced,
        WorkerReady,
        WorkerGone,
        WorkerSuspended,
        TaskStarted,
        TaskCommitted,
        TaskFailed,
        TaskSuperseded,
        TaskVoided,
        Notice,
        FilmDelivered,
        JobFinished,
    )
}


EVENT_FORMS: Mapping[str, Form[Any]] = {
    name: Form(f"event {name}", kind) for name, kind in EVENT_TYPES.items()
}


@dataclass(frozen=True, slots=True)
class _Head:
    event: str
    at_s: float


_HEAD = Form("event", _Head)


def to_record(event: Event, at_s: float) -> dict[str, Any]:
    """The JSON-able record of an event."""
    form = EVENT_FORMS[event.name]
    return {FORMAT: form.format, "event": event.name, "at_s": round(at_s, 6), **asdict(event)}


def from_line(line: bytes | str) -> tuple[float, Event]:
    """When the event of a stored line was seen (epoch seconds), and the event.

    Raises Unreadable for a line that is none, or that this version does not know, and NewerFormat.
    """
    head = _HEAD.parse(line)
    form = EVENT_FORMS.get(head.event)
    if form is None:
        raise Unreadable(f"this version knows no event {head.event!r}")
    return head.at_s, form.parse(line)

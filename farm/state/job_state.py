"""`state.json`: how a job stands, for people and programs that do not follow its events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from farm.events import MadeWith
from farm.state.spec_origin import SpecOrigin
from jobs.commands import resume_command
from jobs.records import Form
from jobs.store.documents import STATE

if TYPE_CHECKING:
    from jobs.store.store import Store

RUNNING, DONE, PARTIAL, FAILED = "running", "done", "partial", "failed"
PAUSED, CANCELLED, INTERRUPTED, STOPPED_EARLY = "paused", "cancelled", "interrupted", "stopped_early"
UNAPPROVED = "unapproved"

WAITING, REFUSED = "waiting", "refused"
"""How `farm list`, `status` and `why` call a job that runs without a worker yet, and one that was never taken
up; no `state.json` has these outcomes."""

LIVE = (RUNNING, WAITING)
"""Outcomes of a job that a driver holds."""

PAUSED_BY_USER = "paused by the user"
"""The reason that a job has after `farm pause`."""

COMPUTED = (DONE, PARTIAL, STOPPED_EARLY, UNAPPROVED)
"""Outcomes after which films are delivered."""

EXIT_CODES: Mapping[str, int] = {
    DONE: 0, STOPPED_EARLY: 0, PARTIAL: 3, FAILED: 3, UNAPPROVED: 3, PAUSED: 3, CANCELLED: 4, INTERRUPTED: 4,
}  # fmt: skip
"""What `farm render` returns for each outcome; `stopped_early` is `--until`."""


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """Stage tasks of the job: all, done by this run, done before it, and attempts beyond the first."""

    total: int = 0
    committed: int = 0
    reused: int = 0
    retried: int = 0


@dataclass(frozen=True, slots=True)
class FileBeside:
    """A file that was delivered with a film."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FilmState:
    """One delivered film; of a video with several deliveries, one of them.

    `key` names what it was assembled from; `exact` is False after a byte-changing retry, and where results of
    several kinds of software or device meet: `made_with` then has each, and is empty else.
    """

    name: str
    path: str
    sha256: str = ""
    frames: int = 0
    fps: float = 0.0
    key: str = ""
    exact: bool = True
    beside: tuple[FileBeside, ...] = ()
    made_with: tuple[MadeWith, ...] = ()

    @property
    def files(self) -> tuple[FileBeside, ...]:
        """The film and what was delivered with it."""
        return FileBeside(self.path, self.sha256), *self.beside

    @property
    def output(self) -> str:
        """Its name inside the output folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A quarantined task, and why."""

    task: str
    kind: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """What a running job without a worker waits for, since `since_s` (epoch seconds): the resources that it
    asks for, those that nobody held when that was last looked up, and the GPUs of other jobs of the farm."""

    since_s: float
    wanted: str
    free: str = ""
    holders: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobState:
    """The whole document. `outcome` is `running` while a driver holds the job; times are epoch seconds.

    `films` counts the deliveries of the plan, `waiting` is there as long as a running job has no worker,
    `spec` is the file that was rendered, where it was one, `created` the day of the first render, UTC. `user`
    and `host` are those of the newest driver, empty where an older farm wrote the state.
    """

    job: str
    outcome: str = RUNNING
    reason: str = ""
    videos: tuple[FilmState, ...] = ()
    tasks: TaskCounts = TaskCounts()
    failed: tuple[FailedTask, ...] = ()
    exact: bool = True
    topology: str = ""
    started_s: float = 0.0
    ended_s: float | None = None
    films: int = 0
    waiting: WaitingFor | None = None
    spec: SpecOrigin | None = None
    created: str = ""
    user: str = ""
    host: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> JobState | None:
        """The state of a JSON object; None for None. Raises `jobs.records.Unreadable`."""
        return None if record is None else STATE_FORM.parse(json.dumps(record))

    def with_film(self, film: FilmState, order: Sequence[tuple[str, str]]) -> JobState:
        """The state with this film added, or replaced where its name stood already. Films stand in the
        `order` of their videos' names and their own, those of an earlier spec behind them; what the video was
        delivered as and is no longer goes."""
        here = (film.name, film.output)
        every = {(known.name, known.output): known for known in self.videos} | {here: film}
        planned = dict.fromkeys((*order, here))
        names = [name for name in planned if name in every]
        names += [name for name in every if name not in planned and name[0] != film.name]
        return replace(self, videos=tuple(every[name] for name in names))

    def film(self, name: str, output: str | None = None) -> FilmState | None:
        """The delivered film of a video: that of the name `output`, or the first."""
        every = (film for film in self.videos if film.name == name)
        return next((film for film in every if output in (None, film.output)), None)


STATE_FORM = Form(STATE, JobState)


def read_state(store: Store, topology: str | None = None) -> JobState | None:
    """What `state.json` says; None where there is none. `topology` is what the job is rendered with now, None
    where nobody renders it: only the file says with what it was.

    Raises DamagedDocument, NewerFormat: a job that cannot say how it stands may have been cancelled.
    """
    again = f"`{resume_command(store.job_id, store.runs_url, topology or '')}`"
    again += " (with --serial where it is rendered without Ray)" if topology is None else ""
    remedy = f"restore the file, or {again} to render the job whatever it said: committed results are kept"
    return store.load(STATE_FORM, remedy)

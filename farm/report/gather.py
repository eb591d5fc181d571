"""What is shown of a job, from its run directory alone: for `report.html`, and for the page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.events import FilmDelivered, JobPlanned
from farm.output.outlets import outlet_of
from farm.report.gantt import MOST_BARS, gantt
from farm.report.pictures import Seam, Thumb
from farm.report.timeline import Timeline, explain_waits, read_timeline
from farm.state.event_lines import gang_words
from farm.state.job_state import FilmState, JobState
from farm.state.mixture import mixture
from farm.state.progress import STAGES, said_of
from jobs.planning.output_names import preview_name, shown_format
from jobs.planning.planned import Plan, PlannedVideo
from jobs.planning.summary import TakeRow, take_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.state.event_log import Logged
    from farm.verbs.run import JobDocuments
    from jobs.tasks.task import TaskGraph

MOST_WAITS, MOST_TROUBLES = 20, 200
PLAYABLE = (".mp4", ".mov", ".mkv", ".webm")
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Watchable:
    """What can be watched of a video: its film, or the first `frames` of it as a preview, at `address`.
    Without `frames` there is nothing yet. `size` is its width and height; `others` are the addresses of its
    other deliveries."""

    video: PlannedVideo
    film: FilmState | None
    address: str
    frames: int
    size: tuple[int, int]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilmView:
    """One film as it is shown; `link` plays it, `sound` is the picture of its sound.

    `film` None with `shown_frames`: a preview of the first frames.
    """

    video: PlannedVideo
    film: FilmState | None
    link: str = ""
    playable: bool = False
    shown_frames: int = 0
    thumbs: tuple[Thumb, ...] = ()
    seams: tuple[Seam, ...] = ()
    sound: str = ""
    others: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)

    @property
    def take(self) -> TakeRow | None:
        """Which take it is of a shot, if it is one."""
        return take_row(self.video)


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage cost: tasks, seconds of work, those of them on a GPU, share of all work."""

    stage: str
    tasks: int
    seconds: float
    gpu_seconds: float
    share: float


@cache
def environment(*folders: Path) -> Any:
    """The jinja2 environment of the templates in `folders` and of the report's parts. One serves all pages
    of a process, as it keeps the templates it has compiled."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, HERE]), autoescape=True, undefined=jinja2.StrictUndefined
    )
    made.filters["clock"] = _clock
    made.globals["said_of"], made.globals["mixture"] = said_of, mixture
    return made


def current_state(run: JobDocuments) -> JobState:
    """What `state.json` says, with the outcome and reason that are true now."""
    outcome, reason = run.outcome
    return replace(run.state or JobState(job=run.job), outcome=outcome, reason=reason)


def work_done(
    run: JobDocuments, log: Iterable[Logged], now_s: float | None = None, most: int = MOST_BARS
) -> dict[str, Any]:
    """What the workers did, and what went wrong. With `now_s` what runs is drawn up to then; of more than
    `most` attempts the longest are drawn."""
    timeline = read_timeline(log, now_s)
    explain_waits(timeline, lambda task: _needs(run.graph, task))
    return {
        "gantt": gantt(timeline, most),
        "stages": _stage_rows(timeline),
        "gangs": {worker: gang_words(ranks) for worker, ranks in timeline.gangs.items()},
        "wall_s": timeline.span[1] - timeline.span[0],
        "waits": sorted(timeline.waits, key=lambda wait: wait.start_s - wait.stop_s)[:MOST_WAITS],
        "troubles": timeline.troubles[-MOST_TROUBLES:],
    }


def watchables(plan: Plan, state: JobState, log: Sequence[Logged]) -> Iterator[Watchable]:
    """Each video of the plan, without films that only their draft shows anything of yet."""
    outlet, shown = outlet_of(plan.output.dir), _previewed(log)
    drafts = {video.draft_of for video in plan.videos if not video.own}
    for video in plan.videos:
        films = [film for film in state.videos if film.name == video.name]
        film = next(
            (each for each in films if Path(each.path).suffix in PLAYABLE), films[0] if films else None
        )
        if film is None and video.name in drafts and not shown.get(video.name):
            continue
        preview = preview_name(video.name, shown_format(plan.output.formats).container)
        address = film.path if film else outlet.address(preview or video.output)
        others = tuple(each.path for each in films if each is not film)
        frames = video.frames if film else shown.get(video.name, 0)
        sizes = {outlet.address(each.name): each.format.pixels for each in plan.deliveries(video)}
        size = sizes.get(address) or (video.width, video.height)
        yield Watchable(video, film, address, frames, size, others)


def _needs(graph: TaskGraph, task: str) -> list[str]:
    """What a task needs; nothing for one that the plan has no longer."""
    return [need.task for need in graph.tasks[task].needs] if task in graph.tasks else []


def _previewed(log: Iterable[Logged]) -> Mapping[str, int]:
    """Frames of the newest preview of each film; one that was made before the job was planned anew may show
    what it has no longer."""
    shown: dict[str, int] = {}
    for event in (logged.event for logged in log):
        if isinstance(event, JobPlanned):
            shown.clear()
        elif isinstance(event, FilmDelivered) and event.preview:
            shown[event.video] = event.frames
    return shown


def _stage_rows(timeline: Timeline) -> list[StageCost]:
    total = sum(timeline.stage_seconds.values()) or 1.0
    return [
        StageCost(
            stage,
            timeline.stage_tasks[stage],
            timeline.stage_seconds[stage],
            timeline.gpu_seconds[stage],
            timeline.stage_seconds[stage] / total,
        )
        for stage in STAGES
        if timeline.stage_tasks[stage]
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"

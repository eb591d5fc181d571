"""Gathers what the report shows and fills its page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.events import FilmDelivered
from farm.output.outlets import locate, outlet_of
from farm.report.gantt import gantt
from farm.report.pictures import MOST_SEAMS, MOST_THUMBS, Seam, Thumb, seams, thumbs
from farm.report.timeline import Timeline, explain_waits, read_timeline
from farm.state.event_log import EventLog, Logged
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import FilmState, JobState
from farm.state.progress import STAGES, said_of
from farm.verbs.run import JobDocuments
from jobs.errors import CannotRun, StorageProblem
from jobs.planning.output_names import preview_name
from jobs.planning.planned import Plan, PlannedVideo
from jobs.scratch import Scratch
from jobs.store.documents import SPEC
from jobs.version import VERSION

if TYPE_CHECKING:
    from jobs.store.store import Store
    from jobs.tasks.task import TaskGraph

REPORT = "report.html"
MOST_WAITS, MOST_TROUBLES = 20, 200
PLAYABLE = (".mp4", ".mov", ".mkv", ".webm")


@dataclass(frozen=True, slots=True)
class FilmView:
    """One film on the page; `link` is relative to the report where it can be.

    `film` None with `shown_frames`: a preview of the first frames.
    """

    video: PlannedVideo
    film: FilmState | None
    link: str = ""
    playable: bool = False
    shown_frames: int = 0
    thumbs: tuple[Thumb, ...] = ()
    seams: tuple[Seam, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """Pictures of one film; the first films of a large job share what a page can hold."""

    thumbs: int
    seams: int


NONE = Budget(0, 0)


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage cost: tasks, seconds of work, those of them on a GPU, share of all work."""

    stage: str
    tasks: int
    seconds: float
    gpu_seconds: float
    share: float


def write_report(store: Store) -> str:
    """Writes `report.html` into the run directory, from what stands there now; returns its address.

    Works while the job runs, after it ended, and with Ray down. Raises UsageError for a run without a plan.
    """
    store.write_text(REPORT, render_page(store))
    return f"{store.url}/{REPORT}"


def render_page(store: Store) -> str:
    """The report as HTML text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["clock"] = _clock
    environment.globals["said_of"] = said_of
    return environment.get_template("page.html").render(**_content(store))


def _content(store: Store) -> dict[str, Any]:
    run = JobDocuments(store)
    plan, (outcome, reason) = run.plan, run.outcome
    state = replace(run.state or JobState(job=run.job), outcome=outcome, reason=reason)
    log = EventLog(store)
    entries = list(log)
    timeline = read_timeline(entries)
    explain_waits(timeline, lambda task: _needs(run.graph, task))
    frozen = store.recall(DIGESTS_FORM)
    made_of = {"engine": frozen.engine, "made from": frozen.sources} if frozen else {}
    return {
        "job": run.job,
        "state": state,
        "plan": plan,
        "version": VERSION,
        "written": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "films": _films(store, plan, state, _previewed(entries)),
        "gantt": gantt(timeline),
        "stages": _stage_rows(timeline),
        "wall_s": timeline.span[1] - timeline.span[0],
        "waits": sorted(timeline.waits, key=lambda wait: wait.start_s - wait.stop_s)[:MOST_WAITS],
        "troubles": timeline.troubles[-MOST_TROUBLES:],
        "spec": store.read_text(SPEC) or "",
        "provenance": _flat(made_of),
        "warnings": log.warnings,
    }


def _needs(graph: TaskGraph, task: str) -> list[str]:
    """What a task needs; nothing for one that the plan has no longer."""
    return [need.task for need in graph.tasks[task].needs] if task in graph.tasks else []


def _films(store: Store, plan: Plan, state: JobState, shown: Mapping[str, int]) -> list[FilmView]:
    share = max(1, min(len(plan.videos), MOST_SEAMS // 2))
    some, views = Budget(MOST_THUMBS // share, MOST_SEAMS // share), []
    outlet = outlet_of(plan.output.dir)
    for at, video in enumerate(plan.videos):
        film = state.film(video.name)
        preview = preview_name(video.name, plan.output.container)
        address = film.path if film else outlet.address(preview or video.output)
        frames = video.frames if film else shown.get(video.name, 0)
        link, playable = _link(store, address)
        bare = FilmView(video, film, link, playable, frames)
        views.append(_with_pictures(bare, address, some if at < share else NONE))
    return views


def _with_pictures(view: FilmView, address: str, budget: Budget) -> FilmView:
    """The view with what can be seen of the film so far; without a link where there is nothing."""
    video, frames, copies = view.video, view.shown_frames, Scratch()
    try:
        outlet, name = locate(address)
        if not frames or outlet.find(name) is None:
            return FilmView(video, view.film)
        if budget is NONE:
            return view
        path = outlet.fetch(name, copies)
        small, pairs = thumbs(video, path, frames, budget.thumbs), seams(video, path, frames, budget.seams)
        return replace(view, thumbs=tuple(small), seams=tuple(pairs))
    except FileNotFoundError:
        return FilmView(video, view.film)
    except (CannotRun, StorageProblem):
        # The film's store cannot be asked; a page without pictures says more than none.
        return view
    finally:
        copies.clear()


def _previewed(log: Iterable[Logged]) -> dict[str, int]:
    """Frames of the newest preview of each film."""
    films = (logged.event for logged in log if isinstance(logged.event, FilmDelivered))
    return {film.video: film.frames for film in films if film.preview}


def _link(store: Store, address: str) -> tuple[str, bool]:
    """Address of the film on the page, and whether a browser plays it there. Relative where the report is a
    local file, so that a copied folder still plays; objects are named, and played by who fetches them."""
    if "://" in address:
        return address, False
    path, page = Path(address), store.backend.path(REPORT)
    link = path.resolve().as_uri() if page is None else os.path.relpath(path, page.parent)
    return link, path.suffix in PLAYABLE


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


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif value not in (None, [], ""):
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"

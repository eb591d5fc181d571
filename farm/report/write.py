"""Gathers what the report shows and fills its page."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.progress import STAGES
from farm.report.gantt import gantt
from farm.report.pictures import MOST_SEAMS, MOST_THUMBS, Seam, Thumb, seams, thumbs
from farm.report.timeline import Timeline, read_timeline
from farm.state import FilmState, JobState
from jobs.plan import Plan, PlannedVideo, plan_from_json
from jobs.store import DIGESTS, PLAN, SPEC, STATE, Store

REPORT = "report.html"
PLAYABLE = (".mp4", ".mov", ".mkv", ".webm")


@dataclass(frozen=True, slots=True)
class FilmView:
    """One film on the page; `link` is relative to the report where it can be."""

    video: PlannedVideo
    film: FilmState | None
    link: str
    playable: bool
    thumbs: tuple[Thumb, ...]
    seams: tuple[Seam, ...]


@dataclass(frozen=True, slots=True)
class StageRow:
    """What one stage cost: tasks, seconds of work, share of all work."""

    stage: str
    tasks: int
    seconds: float
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
    return environment.get_template("page.html").render(**_content(store))


def _content(store: Store) -> dict[str, Any]:
    plan = plan_from_json(json.dumps(store.read_json(PLAN) or {}))
    state = JobState.from_json(store.read_json(STATE)) or JobState(job=store.job_id)
    timeline = read_timeline(store.events())
    return {
        "job": store.job_id,
        "state": state,
        "plan": plan,
        "written": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "films": _films(store, plan, state),
        "gantt": gantt(timeline),
        "stages": _stage_rows(timeline),
        "wall_s": timeline.span[1] - timeline.span[0],
        "workers": len(timeline.workers),
        "waits": sorted(timeline.waits, key=lambda wait: wait.start_s - wait.stop_s)[:20],
        "troubles": timeline.troubles[-200:],
        "spec": store.read_text(SPEC) or "",
        "provenance": _flat((store.read_json(DIGESTS) or {}).get("engine") or {}),
    }


def _films(store: Store, plan: Plan, state: JobState) -> list[FilmView]:
    share = max(1, len(plan.videos))
    views = []
    for video in plan.videos:
        film = state.film(video.name)
        path = Path(film.path) if film else None
        there = path is not None and path.exists()
        small = tuple(thumbs(video, path, max(4, MOST_THUMBS // share))) if path and there else ()
        pairs = tuple(seams(video, path, max(2, MOST_SEAMS // share))) if path and there else ()
        link = _link(store, path) if path and there else ""
        views.append(FilmView(video, film, link, bool(path and path.suffix in PLAYABLE), small, pairs))
    return views


def _link(store: Store, path: Path) -> str:
    """Relative where the report is a local file, so that a copied folder still plays."""
    page = store.backend.path(REPORT)
    return path.resolve().as_uri() if page is None else os.path.relpath(path, page.parent)


def _stage_rows(timeline: Timeline) -> list[StageRow]:
    total = sum(timeline.stage_seconds.values()) or 1.0
    return [
        StageRow(
            stage,
            timeline.stage_tasks[stage],
            timeline.stage_seconds[stage],
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
        else:
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"

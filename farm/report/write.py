"""`report.html`: what was gathered of a job, with its pictures inside, in one file."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.output.outlets import locate
from farm.report.gather import (
    PLAYABLE,
    FilmView,
    Watchable,
    current_state,
    environment,
    watchables,
    work_done,
)
from farm.report.pictures import MOST_SEAMS, MOST_THUMBS, seams, thumbs
from farm.report.waveform import waveform
from farm.state.event_log import EventLog
from farm.state.fingerprint import DIGESTS_FORM
from farm.verbs.run import JobDocuments
from jobs.errors import CannotRun, InvalidInput, StorageProblem
from jobs.scratch import Scratch
from jobs.store.documents import SPEC
from jobs.version import VERSION

if TYPE_CHECKING:
    from jobs.store.store import Store

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Budget:
    """Pictures of one film; the first films of a large job share what a page can hold."""

    thumbs: int
    seams: int


NONE = Budget(0, 0)


def write_report(store: Store) -> str:
    """Writes `report.html` into the run directory, from what stands there now; returns its address.

    Works while the job runs, after it ended, and with Ray down. Raises UsageError for a run without a plan.
    """
    store.write_text(REPORT, render_page(store))
    return f"{store.url}/{REPORT}"


def render_page(store: Store) -> str:
    """The report as HTML text."""
    return str(environment().get_template("page.html").render(**_content(store)))


def _content(store: Store) -> dict[str, Any]:
    run = JobDocuments(store)
    plan, state = run.plan, current_state(run)
    log = EventLog(store)
    entries = list(log)
    frozen = store.recall(DIGESTS_FORM)
    made_of = {"engine": frozen.engine, "made from": frozen.sources} if frozen else {}
    return {
        **work_done(run, entries),
        "job": run.job,
        "state": state,
        "plan": plan,
        "version": VERSION,
        "written": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "films": _views(store, list(watchables(plan, state, entries))),
        "spec": store.read_text(SPEC) or "",
        "provenance": _flat(made_of),
        "warnings": log.warnings,
    }


def _views(store: Store, films: list[Watchable]) -> list[FilmView]:
    share = max(1, min(len(films), MOST_SEAMS // 2))
    some = Budget(MOST_THUMBS // share, MOST_SEAMS // share)
    views = (_view(store, film, some if at < share else NONE) for at, film in enumerate(films))
    return [
        replace(view, others=film.others, size=film.size) for film, view in zip(films, views, strict=True)
    ]


def _view(store: Store, shown: Watchable, budget: Budget) -> FilmView:
    """The film with what can be seen of it so far; without a link where there is nothing."""
    video, frames, copies = shown.video, shown.frames, Scratch()
    link, playable = _link(store, shown.address)
    view = FilmView(video, shown.film, link, playable, frames)
    try:
        outlet, name = locate(shown.address)
        if not frames or outlet.find(name) is None:
            return FilmView(video, shown.film)
        if budget is NONE:
            return view
        path = outlet.fetch(name, copies)
        small, pairs = thumbs(video, path, frames, budget.thumbs), seams(video, path, frames, budget.seams)
        return replace(view, thumbs=tuple(small), seams=tuple(pairs), sound=_sound(shown, path))
    except FileNotFoundError:
        return FilmView(video, shown.film)
    except (CannotRun, StorageProblem):
        # The film's store cannot be asked; a page without pictures says more than none.
        return view
    finally:
        copies.clear()


def _sound(shown: Watchable, path: Path) -> str:
    if shown.film is None or shown.video.sound is None:
        return ""
    try:
        drawn = waveform(path, shown.video.seconds)
    except InvalidInput:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def _link(store: Store, address: str) -> tuple[str, bool]:
    """Address of the film on the page, and whether a browser plays it there. Relative where the report is a
    local file, so that a copied folder still plays; objects are named, and played by who fetches them."""
    if "://" in address:
        return address, False
    path, page = Path(address), store.backend.path(REPORT)
    link = path.resolve().as_uri() if page is None else os.path.relpath(path, page.parent)
    return link, path.suffix in PLAYABLE


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif value not in (None, [], ""):
            rows.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return rows

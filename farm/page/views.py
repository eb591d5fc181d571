"""What the page shows, as sections of HTML: each is sent again only when it changed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from farm.page.files import SIDES
from farm.report.gather import (
    PLAYABLE,
    FilmView,
    Watchable,
    current_state,
    environment,
    watchables,
    work_done,
)
from farm.report.pictures import Seam, Thumb, middle, seam_chunks, shown_chunks
from farm.state.event_lines import log_line
from farm.state.event_log import EventLog, Logged, newest_of
from farm.state.job_state import LIVE, JobState
from farm.verbs.status import status_of
from farm.verbs.why import story_of
from jobs.errors import InputError
from jobs.tasks.task import Stage, task_id
from jobs.wording import clock, one_line, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.page.actions import Actions
    from farm.page.drivers import Drivers
    from farm.page.reading import Reader
    from farm.verbs.run import JobDocuments
    from jobs.planning.planned import PlannedChunk

TEMPLATES = Path(__file__).parent
MOST_FILMS, MOST_THUMBS, MOST_SEAMS, MOST_BARS, LOG_LINES = 40, 96, 12, 500, 60


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; `mark` changes with its `html`."""

    name: str
    html: str

    @property
    def mark(self) -> str:
        return sha256(f"{self.name}\0{self.html}".encode()).hexdigest()[:10]


class Views:
    """Renders the list of jobs, and one job. Methods block."""

    def __init__(self, reader: Reader, actions: Actions, drivers: Drivers) -> None:
        self._reader, self._actions, self._drivers = reader, actions, drivers
        self._environment = environment(TEMPLATES)
        self._environment.filters |= {"size": size, "countdown": clock, "when": _when}
        self._macros = self._environment.get_template("sections.html").module

    def shell(self, title: str, up: str, sections: Sequence[Section]) -> str:
        """A whole page; `up` leads to the list."""
        template = self._environment.get_template("shell.html")
        return str(template.render(title=title, up=up, sections=sections))

    def style(self) -> str:
        """The report's style, and what the page has beside it."""
        return "".join(self._environment.get_template(name).render() for name in ("style.css", "page.css"))

    def jobs(self) -> list[Section]:
        """The list."""
        return [Section("jobs", str(self._macros.jobs(self._reader.jobs(), self._reader.runs)))]

    def job(self, job: str) -> list[Section]:
        """One job. Raises UsageError where there is none."""
        run = self._reader.open(job)
        return list(self._sections(run, list(EventLog(run.store))))

    def log(self, job: str) -> str:
        """The whole event log, a line an event."""
        return "\n".join(_log_lines(list(EventLog(self._reader.open(job).store)))) + "\n"

    def _sections(self, run: JobDocuments, log: list[Logged]) -> Iterator[Section]:
        state, macros = current_state(run), self._macros
        newest = newest_of(log)
        story = story_of(run, newest)
        live = state.outcome in LIVE
        try:
            work = work_done(run, log, time.time() if live else None, MOST_BARS)
            films = list(watchables(run.plan, state, log))
        except InputError:
            # Refused before it was planned, or its plan is lost: the reason says which.
            work, films = work_done(run, (), None), []
        names = [film.video.name for film in films]
        head = macros.head(status_of(run, newest), story, names, **self._head(run, state, work))
        yield Section("head", str(head))
        for at, view in enumerate(_views(run, films)):
            yield Section(f"film-{at}", str(macros.film(view)))
        if len(films) > MOST_FILMS:
            yield Section("more", str(macros.more(len(films) - MOST_FILMS)))
        if work["gantt"]:
            yield Section("workers", str(macros.workers(work)))
        yield Section("trouble", str(macros.trouble(story, work["troubles"][-40:], state.failed)))
        yield Section("log", str(macros.log(_log_lines(log[: -LOG_LINES - 1 : -1]))))

    def _head(self, run: JobDocuments, state: JobState, work: dict[str, Any]) -> dict[str, Any]:
        return {
            "state": state,
            "size_bytes": run.store.size_bytes(),
            "gpu_hours": sum(row.gpu_seconds for row in work["stages"]) / 3600,
            "all_hours": sum(row.seconds for row in work["stages"]) / 3600,
            "actions": self._actions.offered(run, state.outcome, _approves(run)),
            "said": self._drivers.said(run.job),
            "starting": self._drivers.starting(run.job) and state.outcome not in LIVE,
            "live": state.outcome in LIVE,
        }


def _approves(run: JobDocuments) -> bool:
    try:
        return run.plan.run.approve is not None
    except InputError:
        return False


def _views(run: JobDocuments, films: Sequence[Watchable]) -> Iterator[FilmView]:
    shown = films[:MOST_FILMS]
    share = max(1, len(shown))
    for film in shown:
        view = _view(run, film, max(4, MOST_THUMBS // share), max(1, MOST_SEAMS // share))
        yield replace(view, others=film.others, size=film.size)


def _view(run: JobDocuments, shown: Watchable, most_thumbs: int, most_seams: int) -> FilmView:
    video, frames = shown.video, shown.frames
    if not frames or "://" in shown.address or not Path(shown.address).exists():
        return FilmView(video, shown.film)
    name, key = quote(video.name, safe=""), shown.film.sha256[:12] if shown.film else f"p{frames}"

    def mark(chunk: PlannedChunk) -> str:
        if shown.film:
            return key  # What the plan has by now may be another picture.
        return run.digests.get(task_id(video.name, chunk.index, Stage.SEGMENT), key)[:12]

    thumbs = tuple(
        Thumb(chunk, middle(chunk), f"thumb/{name}/{chunk.index}?v={mark(chunk)}")
        for chunk in shown_chunks(video, frames, most_thumbs)
    )
    seams = []
    for chunk in seam_chunks(video, frames, most_seams):
        before, after, gap = (f"seam/{name}/{chunk.index}/{side}?v={mark(chunk)}" for side in SIDES)
        seams.append(Seam(chunk, chunk.owned.start, before, after, gap, None))
    sound = f"sound/{name}?v={key}" if shown.film and video.sound else ""
    playable = Path(shown.address).suffix in PLAYABLE
    return FilmView(video, shown.film, f"film/{name}?v={key}", playable, frames, thumbs, tuple(seams), sound)


def _log_lines(log: Sequence[Logged]) -> list[str]:
    said = ((logged.at_s, log_line(logged.event).replace("\n", ", ")) for logged in log)
    return [f"{_when(at_s)} {one_line(line)}" for at_s, line in said]


def _when(at_s: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s)) if at_s else ""

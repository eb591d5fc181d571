"""`farm status`: how far a job is, from its run directory alone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.events import SHARED, FilmDelivered, GangRank
from farm.output.outlets import locate
from farm.state.event_log import EventLog, Logged
from farm.state.job_state import WAITING, FailedTask, FilmState, JobState, WaitingFor
from farm.state.locks import LOCKS_FORM
from farm.state.progress import STAGES, Progress, split_task
from farm.verbs.pick import not_taken_up
from farm.verbs.run import JobDocuments
from jobs.errors import FarmError
from jobs.planning.output_names import is_take_name
from jobs.planning.plan import PLAN_FORM
from jobs.planning.summary import TakeRow, take_row
from jobs.store.chosen import RETRY
from jobs.store.lock import Driver, Presence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Stage tasks of the whole job; what was evicted counts as committed."""

    stage: str
    total: int
    committed: int


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """One film: its segments so far, the delivered file, and whether that file is still there; `preview` is
    the path of what can be watched of an unfinished one, empty where nothing can. `more` are its other
    deliveries; `take` says which take of a shot it is."""

    name: str
    segments: int
    committed: int
    film: FilmState | None
    present: bool
    preview: str = ""
    more: tuple[FilmState, ...] = ()
    take: TakeRow | None = None


@dataclass(frozen=True, slots=True)
class BusyTask:
    """An attempt that a worker holds: at work on it since `since_s` (epoch seconds), or `queued` behind the
    one that it runs since then."""

    task: str
    worker: str
    attempt: int
    since_s: float
    queued: bool = False


@dataclass(frozen=True, slots=True)
class GangStatus:
    """A worker of several ranks, each with its device and memory."""

    worker: str
    ranks: tuple[GangRank, ...]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Everything `farm status` prints. Times are epoch seconds.

    `elapsed_s` are the seconds since the driver began, or from its start to its end; `eta_s` those that the
    rest takes at the speed measured so far, None while that is unknown. `warnings` name lines of the event
    log that could not be read. `locked` counts the tasks whose results are locked. `user` and `host` are
    those of the newest driver.
    """

    job: str
    run_dir: str
    outcome: str
    reason: str
    driver: Presence
    stages: tuple[StageStatus, ...]
    videos: tuple[VideoStatus, ...]
    busy: tuple[BusyTask, ...]
    failed: tuple[FailedTask, ...]
    requests: tuple[str, ...]
    exact: bool
    waiting: WaitingFor | None = None
    elapsed_s: float | None = None
    eta_s: float | None = None
    gangs: tuple[GangStatus, ...] = ()
    warnings: tuple[str, ...] = ()
    locked: int = 0
    user: str = ""
    host: str = ""


def job_status(runs_url: str, job_id: str) -> JobStatus:
    """Reads a run directory; raises UsageError for an unknown job."""
    run = JobDocuments.open(runs_url, job_id)
    log = EventLog(run.store, newest_run=True)
    entries = list(log)
    return status_of(run, entries, log.warnings)


def status_of(run: JobDocuments, newest: Sequence[Logged], warnings: tuple[str, ...] = ()) -> JobStatus:
    """How the job stands; `newest` are the events of its newest driver run."""
    outcome, reason = run.outcome
    state, live = run.state or JobState(job=run.job), run.driver.driver is Driver.RUNNING
    progress = _progress(newest)
    return JobStatus(
        job=run.job,
        run_dir=run.store.url,
        outcome=outcome,
        reason=reason,
        driver=run.driver,
        stages=_stages(run),
        videos=_videos(run, state, _previews(newest)),
        busy=_busy(progress) if live else (),
        failed=state.failed,
        requests=_requests(run),
        exact=state.exact,
        waiting=state.waiting if outcome == WAITING else None,
        elapsed_s=_elapsed_s(state, live),
        eta_s=progress.eta_s() if live and progress.totals else None,
        gangs=_gangs(progress) if live else (),
        warnings=(*warnings, *filter(None, (not_taken_up(run),))),
        locked=_locked(run),
        user=state.user,
        host=state.host,
    )


def _requests(run: JobDocuments) -> tuple[str, ...]:
    """What no driver has acted on yet."""
    asked = sorted(request.value for request in run.store.requests())
    return (*asked, RETRY) if run.store.asked_retries() else tuple(asked)


def _locked(run: JobDocuments) -> int:
    """Tasks whose results are locked."""
    locks = run.store.recall(LOCKS_FORM)
    locked = locks.digests if locks else frozenset()
    return sum(digest in locked for digest in run.digests.values())


def _progress(log: Iterable[Logged]) -> Progress:
    progress = Progress()
    for logged in log:
        progress.apply(logged.event, logged.at_s)
    return progress


def _elapsed_s(state: JobState, live: bool) -> float | None:
    if not state.started_s:
        return None
    until_s = time.time() if live else state.ended_s
    return None if until_s is None else max(0.0, until_s - state.started_s)


def _previews(log: Iterable[Logged]) -> dict[str, str]:
    """The newest preview of each film that is still there."""
    films = (logged.event for logged in log if isinstance(logged.event, FilmDelivered))
    newest = {film.video: film.path for film in films if film.preview}
    return {video: path for video, path in newest.items() if _present(path)}


def _stages(run: JobDocuments) -> tuple[StageStatus, ...]:
    finished = run.committed | run.evicted
    total = Counter(split_task(task)[2] for task in run.digests)
    done = Counter(split_task(task)[2] for task in finished)
    return tuple(StageStatus(stage, total[stage], done[stage]) for stage in STAGES if total[stage])


def _videos(run: JobDocuments, state: JobState, previews: Mapping[str, str]) -> tuple[VideoStatus, ...]:
    segments = [task for task in run.digests if split_task(task)[2] == "segment"]
    total = Counter(split_task(task)[0] for task in segments)
    done = Counter(split_task(task)[0] for task in segments if task in run.committed)
    names = dict.fromkeys(split_task(task)[0] for task in run.digests)
    names.pop(SHARED, None)
    names.update(dict.fromkeys(film.name for film in state.videos))
    films: dict[str, list[FilmState]] = {name: [] for name in names}
    for film in state.videos:
        films[film.name].append(film)
    takes = takes_of(run, names)
    rows = (_video(name, total[name], done[name], films[name], previews.get(name, "")) for name in names)
    return tuple(replace(row, take=takes.get(row.name)) for row in rows)


def takes_of(run: JobDocuments, names: Iterable[str]) -> dict[str, TakeRow]:
    """Which of these films are takes. The plan is read where one has such a name."""
    if not any(is_take_name(name) for name in names):
        return {}
    found = run.store.recall(PLAN_FORM)
    rows = ((video.name, take_row(video)) for video in found.plan.videos) if found else ()
    return {name: row for name, row in rows if row is not None}


def _video(name: str, segments: int, committed: int, films: list[FilmState], preview: str) -> VideoStatus:
    first = next(iter(films), None)
    present = first is not None and _present(first.path)
    return VideoStatus(name, segments, committed, first, present, preview, tuple(films[1:]))


def _present(address: str) -> bool:
    """Whether a film is where it was put; one that cannot be looked at is taken to be."""
    try:
        outlet, name = locate(address)
        return outlet.find(name) is not None
    except FarmError:
        return True


def _gangs(progress: Progress) -> tuple[GangStatus, ...]:
    """The workers that have several ranks."""
    workers = progress.holdings.workers.items()
    return tuple(GangStatus(name, worker.ranks) for name, worker in workers if worker.ranks)


def _busy(progress: Progress) -> tuple[BusyTask, ...]:
    """What the workers hold, by worker, the attempt that each runs first."""
    return tuple(
        BusyTask(
            held.task,
            held.worker,
            held.attempt,
            held.handed_s if held.began_s is None else held.began_s,
            held.began_s is None,
        )
        for held in progress.holdings.all_held()
    )

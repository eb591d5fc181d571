"""`farm status`: how far a job is, from its run directory alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from farm.events import SHARED
from farm.progress import STAGES, split_task
from farm.state import FailedTask, FilmState, JobState
from farm.verbs.run import Run
from jobs.store import Driver, Presence


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Stage tasks of the whole job; frames that were given up after use count as committed."""

    stage: str
    total: int
    committed: int


@dataclass(frozen=True, slots=True)
class VideoStatus:
    """One film: its segments so far, the delivered file, and whether that file is still there."""

    name: str
    segments: int
    committed: int
    film: FilmState | None
    present: bool


@dataclass(frozen=True, slots=True)
class BusyTask:
    """A task in work, since `since_s` (epoch seconds)."""

    task: str
    worker: str
    attempt: int
    since_s: float


@dataclass(frozen=True, slots=True)
class JobStatus:
    """Everything `farm status` prints. Times are epoch seconds."""

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


def job_status(runs_url: str, job_id: str) -> JobStatus:
    """Reads a run directory; raises UsageError for an unknown job."""
    run = Run.open(runs_url, job_id)
    outcome, reason = run.outcome
    state = run.state or JobState(job=run.job)
    return JobStatus(
        job=run.job,
        run_dir=run.store.url,
        outcome=outcome,
        reason=reason,
        driver=run.driver,
        stages=_stages(run),
        videos=_videos(run, state),
        busy=_busy(run) if run.driver.driver is Driver.RUNNING else (),
        failed=state.failed,
        requests=tuple(sorted(request.value for request in run.store.requests())),
        exact=state.exact,
    )


def _stages(run: Run) -> tuple[StageStatus, ...]:
    finished = run.committed | run.evicted
    total = Counter(split_task(task)[2] for task in run.digests)
    done = Counter(split_task(task)[2] for task in finished)
    return tuple(StageStatus(stage, total[stage], done[stage]) for stage in STAGES if total[stage])


def _videos(run: Run, state: JobState) -> tuple[VideoStatus, ...]:
    segments = [task for task in run.digests if split_task(task)[2] == "segment"]
    total = Counter(split_task(task)[0] for task in segments)
    done = Counter(split_task(task)[0] for task in segments if task in run.committed)
    names = dict.fromkeys(split_task(task)[0] for task in run.digests)
    names.pop(SHARED, None)
    names.update(dict.fromkeys(film.name for film in state.videos))
    return tuple(_video(name, total[name], done[name], state.film(name)) for name in names)


def _video(name: str, segments: int, committed: int, film: FilmState | None) -> VideoStatus:
    present = film is not None and Path(film.path).exists()
    return VideoStatus(name, segments, committed, film, present)


def _busy(run: Run) -> tuple[BusyTask, ...]:
    """Tasks that the newest run started and nothing has ended since, by worker."""
    busy: dict[str, BusyTask] = {}
    for event in run.store.events(newest_run=True):
        worker = str(event.get("worker", ""))
        if event.get("event") == "task_started":
            busy[worker] = BusyTask(event["task"], worker, event["attempt"], event["at_s"])
        elif event.get("event") in {"task_committed", "task_failed", "worker_gone", "worker_ready"}:
            busy.pop(worker, None)
    return tuple(busy.values())

"""`farm lock` and `farm unlock`: which results count whatever the job is rendered with later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import read_state
from farm.state.locks import Lock, Locks, read_locks, write_locks
from farm.state.requests import require_ours
from farm.verbs.run import JobDocuments
from jobs.errors import JobBusy, Problem, UsageError
from jobs.places import did_you_mean
from jobs.store.documents import LOCKED
from jobs.store.lock import Driver
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from farm.state.fingerprint import Frozen
    from jobs.planning.planned import PlannedVideo

Shot = tuple[str, int]
"""A video's name, and the number of the shot in it."""


@dataclass(frozen=True, slots=True)
class ShotLock:
    """How many of the `tasks` of a shot are locked."""

    video: str
    shot: str
    tasks: int
    locked: int


@dataclass(frozen=True, slots=True)
class LockResult:
    """What is locked of a job afterwards, the shots of its plan one by one; `added` and `taken` results are
    those of this call."""

    job: str
    shots: tuple[ShotLock, ...]
    added: int = 0
    taken: int = 0


def lock_job(
    runs_url: str, job_id: str, shots: Sequence[str] = (), tell: Callable[[str], None] | None = None
) -> LockResult:
    """Locks what is committed of the named shots and what they are made from; of all of them without names.

    `tell` hears of a wait for the job lock of a silent driver. Raises UsageError (an unknown job or shot, and
    where nothing of it is committed), DamagedDocument, and JobBusy while the job is rendered.
    """
    run = _opened(runs_url, job_id)
    with run.store.lock(tell=tell):
        chosen = _with_needs(run, _tasks_of(run, _chosen(run, shots)))
        kept, locks = run.store.recall(DIGESTS_FORM), read_locks(run.store)
        there = [run.digests[task] for task in chosen if task in run.committed | run.evicted]
        if kept is None or not there:
            raise UsageError([_nothing_there(run, shots)])
        new = tuple(dict.fromkeys(digest for digest in there if digest not in locks.digests))
        if new:
            locks = locks.with_lock(_lock(kept, new))
            write_locks(run.store, locks)
    return _result(run, locks, added=len(new))


def unlock_job(
    runs_url: str, job_id: str, shots: Sequence[str] = (), tell: Callable[[str], None] | None = None
) -> LockResult:
    """Takes the lock off the named shots' own results; off everything without names. Nothing is deleted.

    Raises UsageError (an unknown job or shot, and where nothing of it is locked), and JobBusy while the job
    is rendered.
    """
    run = _opened(runs_url, job_id)
    if not run.store.has(LOCKED):
        rule, remedy = "a job that is locked", f"nothing has to be unlocked; `{run.command('lock')}` locks it"
        raise UsageError([Problem("farm unlock", f"{run.job!r} is not locked", rule, remedy)])
    with run.store.lock(tell=tell):
        if not shots:
            write_locks(run.store, Locks())
            return _result(run, Locks())
        locks = read_locks(run.store)
        own = {run.digests[task] for task in _tasks_of(run, _chosen(run, shots)) if task in run.digests}
        taken = own & locks.digests
        if not taken:
            rule, remedy = "shots of which something is locked", f"`{run.command('status')}` says what is"
            raise UsageError([Problem("--shots", ", ".join(shots), rule, remedy)])
        locks = locks.without(taken)
        write_locks(run.store, locks)
    return _result(run, locks, taken=len(taken))


def locked_shots(run: JobDocuments, locks: Locks) -> tuple[ShotLock, ...]:
    """How much of each shot of the job's plan is locked."""
    found = []
    for video, number in _every_shot(run):
        tasks, name = list(_tasks_of(run, [(video, number)])), _video(run, video).shot_name(number)
        locked = sum(run.digests.get(task) in locks.digests for task in tasks)
        found.append(ShotLock(video, name, len(tasks), locked))
    return tuple(found)


def _opened(runs_url: str, job_id: str) -> JobDocuments:
    """The job, if nobody renders it and this version may write there."""
    run = JobDocuments.open(runs_url, job_id)
    if run.driver.driver is Driver.RUNNING:
        stop = run.command("cancel")
        raise JobBusy(
            f"The job is being rendered by {run.driver.who}. Wait for it, or stop it with `{stop}`."
        )
    require_ours(run.store)
    read_state(run.store)
    return run


def _lock(kept: Frozen, digests: tuple[str, ...]) -> Lock:
    return Lock(
        digests=digests,
        config=kept.config,
        engine=kept.engine,
        modes=kept.modes,
        sources=kept.sources,
        media=kept.media,
        stages=kept.stages,
        farm=kept.farm,
        locked_s=time.time(),
    )


def _result(run: JobDocuments, locks: Locks, added: int = 0, taken: int = 0) -> LockResult:
    return LockResult(run.job, locked_shots(run, locks), added, taken)


def _chosen(run: JobDocuments, names: Sequence[str]) -> list[Shot]:
    every = list(_every_shot(run))
    if not names:
        return every
    by_name: dict[str, list[Shot]] = {}
    for video, number in every:
        name = _video(run, video).shot_name(number)
        by_name.setdefault(name, []).append((video, number))
        by_name.setdefault(f"{video}/{name}", []).append((video, number))
    if unknown := [_unknown(name, list(by_name)) for name in names if name not in by_name]:
        raise UsageError(unknown)
    return [shot for name in names for shot in by_name[name]]


def _every_shot(run: JobDocuments) -> Iterator[Shot]:
    for video in run.plan.videos:
        yield from dict.fromkeys((video.name, chunk.shot) for chunk in video.chunks)


def _video(run: JobDocuments, name: str) -> PlannedVideo:
    return next(video for video in run.plan.videos if video.name == name)


def _tasks_of(run: JobDocuments, shots: Iterable[Shot]) -> Iterator[str]:
    """The shots' own tasks; encodes may be other shots', too."""
    wanted = frozenset(shots)
    for task in run.graph.tasks.values():
        if task.stage is not Stage.ENCODE and (task.video, task.shot) in wanted:
            yield task.id


def _with_needs(run: JobDocuments, tasks: Iterable[str]) -> list[str]:
    """The tasks and what they are made from, in plan order."""
    wanted = set(tasks)
    for name in reversed(list(run.graph.tasks)):
        if name in wanted:
            wanted.update(need.task for need in run.graph.tasks[name].needs)
    return [name for name in run.graph.tasks if name in wanted]


def _unknown(name: str, known: list[str]) -> Problem:
    return Problem("--shots", repr(name), "must be a shot of the job", did_you_mean(name, known))


def _nothing_there(run: JobDocuments, shots: Sequence[str]) -> Problem:
    what = f"nothing of {', '.join(shots)} is committed" if shots else "nothing is committed"
    return Problem("farm lock", what, "a lock keeps results", f"`{run.command('resume')}` renders them first")

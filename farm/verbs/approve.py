"""`farm approve`: the first pass of chosen chunks is as it should be, so that the second may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.verbs.run import JobDocuments
from jobs.errors import Problem, UsageError
from jobs.tasks.retry import chosen_chunks
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

    from jobs.tasks.retry import Selection
    from jobs.tasks.task import StageTask


@dataclass(frozen=True, slots=True)
class ApproveResult:
    """`approved` chunks by their sample task, `left` those that nobody approved yet, and the `films` that a
    resume renders in full."""

    job: str
    approved: tuple[str, ...]
    left: tuple[str, ...]
    films: tuple[str, ...]


def approve(runs_url: str, job_id: str, selection: Selection, dry_run: bool = False) -> ApproveResult:
    """Writes down the digest of each chosen chunk's first pass.

    Raises UsageError: an unknown job, video or chunk, a job that asks for no approval, nothing but takes, and
    a chosen chunk whose first pass is not rendered, so that nobody can have seen it.
    """
    run = JobDocuments.open(runs_url, job_id)
    if run.plan.run.approve is None:
        rule, remedy = "a job whose spec says `run: {approve: sample}`", "nothing has to be approved here"
        raise UsageError([Problem("job", f"{run.job!r} asks for no approval", rule, remedy)])
    chosen = {(chunk.video, chunk.index) for chunk in chosen_chunks(run.plan, selection)}
    tasks = [task.id for task in _sampled(run) if (task.video, task.chunk) in chosen]
    if not tasks:
        rule, remedy = "chunks of a film; a take is approved in its film", "pick it, and approve that film"
        raise UsageError([Problem("approve", "nothing but takes or sources", rule, remedy)])
    if unseen := [task for task in tasks if task not in run.committed]:
        rule, remedy = "chunks whose first pass is rendered", f"`{run.command('resume')}` renders it"
        raise UsageError([Problem("approve", f"{unseen[0]} is not there", rule, remedy)])
    if not dry_run:
        for task in tasks:
            run.store.approve(run.digests[task])
    left = _unapproved(run, {run.digests[task] for task in tasks})
    return ApproveResult(run.job, tuple(tasks), left, _whole(run, left))


def second_passes(run: JobDocuments) -> tuple[str, ...]:
    """Drafts that are approved whole: a resume gives them their second pass."""
    return _whole(run, _unapproved(run, frozenset()))


def _sampled(run: JobDocuments) -> Iterator[StageTask]:
    """First passes of films. That of a take is approved in the film, once it is picked."""
    films = {video.name for video in run.plan.films}
    return (task for task in run.graph.tasks.values() if task.stage is Stage.SAMPLE and task.video in films)


def _unapproved(run: JobDocuments, now: Set[str]) -> tuple[str, ...]:
    """Sample tasks whose digest is neither approved nor among those approved `now`."""
    seen = run.store.approvals() | now
    return tuple(task.id for task in _sampled(run) if run.digests.get(task.id) not in seen)


def _whole(run: JobDocuments, left: Iterable[str]) -> tuple[str, ...]:
    waiting = {task.partition("/")[0] for task in left}
    return tuple(video.name for video in run.plan.films if video.draft and video.name not in waiting)

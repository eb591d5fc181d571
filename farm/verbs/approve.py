"""`farm approve`: the first pass of chosen chunks is as it should be, so that the second may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.session.selection import awaiting
from farm.verbs.control import without_ending_driver
from farm.verbs.run import JobDocuments
from jobs.errors import Problem, UsageError
from jobs.store.lock import Driver
from jobs.tasks.retry import chosen_chunks
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.tasks.retry import Selection
    from jobs.tasks.task import StageTask


@dataclass(frozen=True, slots=True)
class ApproveResult:
    """`approved` chunks by their sample task, `left` those that nobody approved yet, and the second passes
    that are `free` to follow now. A `busy` driver goes on with them; else a resume does."""

    job: str
    approved: tuple[str, ...]
    left: tuple[str, ...]
    free: tuple[str, ...]
    busy: bool


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
    seen = run.store.approvals() | {run.digests[task] for task in tasks}
    left = tuple(task.id for task in _sampled(run) if run.digests.get(task.id) not in seen)
    busy = not dry_run and without_ending_driver(run).driver.driver is Driver.RUNNING
    return ApproveResult(run.job, tuple(tasks), left, _free(run, seen), busy)


def _sampled(run: JobDocuments) -> Iterator[StageTask]:
    """First passes of films. That of a take is approved in the film, once it is picked."""
    films = {video.name for video in run.plan.films}
    return (task for task in run.graph.tasks.values() if task.stage is Stage.SAMPLE and task.video in films)


def _free(run: JobDocuments, seen: frozenset[str]) -> tuple[str, ...]:
    """Second passes that are not there, and wait for nobody's approval."""
    held = awaiting(run.graph, run.digests, seen)
    second = (task.id for task in run.graph.tasks.values() if task.stage is Stage.UPSCALE)
    return tuple(task for task in second if task not in held and task not in run.committed)

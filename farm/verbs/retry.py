"""`farm retry`: say what would be rendered again, then void it under the job's lock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from farm.events import TaskVoided, to_record
from farm.state.job_state import INTERRUPTED, STATE_FORM, read_state
from farm.state.locks import read_locks, write_locks
from farm.state.progress import split_task
from farm.state.requests import require_ours
from farm.verbs.run import JobDocuments
from jobs.errors import JobBusy
from jobs.store.lock import Driver
from jobs.tasks.retry import Retry, RetryState, Selection, plan_retry
from jobs.tasks.task import Stage
from jobs.wording import amount


def retry_closure(runs_url: str, job_id: str, selection: Selection) -> Retry:
    """What `apply_retry` would do. Raises UsageError: an unknown job, video or chunk, or no match."""
    run = JobDocuments.open(runs_url, job_id)
    in_state = _in_state(run, selection.state)
    found = plan_retry(run.plan, run.graph, selection, in_state, run.evicted, run.committed)
    return replace(found, job=run.job)


def apply_retry(
    runs_url: str, job_id: str, report: Retry, tell: Callable[[str], None] | None = None
) -> Retry:
    """Void the closure and store the new seeds; the next render does the work. Returns it as done. What was
    locked of it is so no longer: it is made with what is installed then.

    `tell` hears of a wait for the lock of a driver that is silent.

    Raises JobBusy while a driver renders the job, and what `read_state` raises.
    """
    run = JobDocuments.open(runs_url, job_id)
    require_ours(run.store)
    read_state(run.store)
    with run.store.lock(tell=tell):
        if report.seeds:
            run.store.override_seeds(_overrides(run, report))
        _tell_voids(run, report)
        gone = [run.digests[task] for task in report.closure if task in run.digests]
        if unlocked := read_locks(run.store).digests.intersection(gone):
            write_locks(run.store, read_locks(run.store).without(unlocked))
        voided = run.store.void(gone)
        _settle(run, report)
    return replace(report, dry_run=False, voided=voided, unlocked=len(unlocked))


def refuse_while_rendered(runs_url: str, job_id: str) -> None:
    """Raises JobBusy while a driver renders the job, as `apply_retry` would."""
    run = JobDocuments.open(runs_url, job_id)
    if run.driver.driver is Driver.RUNNING:
        stop = run.command("cancel")
        raise JobBusy(
            f"The job is being rendered by {run.driver.who}. Wait for it, or stop it with `{stop}`."
        )


def _tell_voids(run: JobDocuments, report: Retry) -> None:
    """Writes into the log which results go, and why."""
    there, chosen = run.committed | run.evicted, set(report.chosen)
    seeded = {(new.video, new.chunk) for new in report.seeds}
    for task in report.closure:
        if task in there:
            reason = "chosen by farm retry" if task in chosen else "it depends on what farm retry chose"
            video, chunk, stage = split_task(task)
            if stage == Stage.SAMPLE and (video, int(chunk)) in seeded:
                reason += ", with a new seed"
            run.store.append_event(to_record(TaskVoided(task, reason), time.time()))
    run.store.flush_events()


def _overrides(run: JobDocuments, report: Retry) -> dict[tuple[str, int], int]:
    """The new seeds as the run directory keeps them: under what stays with a chunk wherever it stands."""
    videos = {video.name: video for video in run.plan.videos}
    changed = ((videos[new.video], new) for new in report.seeds)
    return {(video.film, video.chunks[new.chunk].decode_seed): new.seed for video, new in changed}


def _in_state(run: JobDocuments, state: RetryState | None) -> frozenset[str]:
    if state is RetryState.FAILED:
        return frozenset(task.task for task in (run.state.failed if run.state else ()))
    if state is RetryState.INEXACT:
        commits = {**run.store.evicted(), **run.store.check().commits}
        inexact = {digest for digest, commit in commits.items() if not commit.provenance.get("exact", True)}
        return frozenset(task for task, digest in run.digests.items() if digest in inexact)
    return frozenset()


def _settle(run: JobDocuments, report: Retry) -> None:
    """The job is done no longer, and what failed may be tried afresh."""
    if run.state is None:
        return
    closure, counts = set(report.closure), run.state.tasks
    left = max(0, counts.committed + counts.reused - report.committed)
    waiting = replace(
        run.state,
        outcome=INTERRUPTED,
        reason=f"{amount(len(closure), 'task')} to be rendered again; `{run.command('resume')}` continues",
        tasks=replace(counts, committed=0, reused=left),
        failed=tuple(task for task in run.state.failed if task.task not in closure),
    )
    run.store.save(STATE_FORM, waiting)

"""`farm retry`: say what would be rendered again, then void it under the job's lock, or ask its driver to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.session.retrying import Rendered, ask, carry_out, find_retry
from farm.state.job_state import INTERRUPTED, STATE_FORM, read_state
from farm.state.requests import require_ours
from farm.verbs.control import without_ending_driver
from farm.verbs.run import JobDocuments
from jobs.errors import Problem, UsageError
from jobs.spec.chunk import MAX_PROMPT
from jobs.store.lock import Driver
from jobs.wording import amount

if TYPE_CHECKING:
    from jobs.tasks.retry import Retry, Selection


def retry_closure(runs_url: str, job_id: str, selection: Selection) -> Retry:
    """What `apply_retry` would do. Raises UsageError: an unknown job, video or chunk, or no match."""
    run = JobDocuments.open(runs_url, job_id)
    return find_retry(run.store, _rendered(run), selection)


def apply_retry(
    runs_url: str, job_id: str, selection: Selection, tell: Callable[[str], None] | None = None
) -> Retry:
    """Void what the selection chooses and store the new seeds and prompts; the next render does the work. A
    driver that renders the job is asked to do both. Returns it as done.

    `tell` hears of a wait for the lock of a driver that is silent.

    Raises what `retry_closure` and `read_state` raise.
    """
    run = without_ending_driver(JobDocuments.open(runs_url, job_id))
    found = find_retry(run.store, _rendered(run), selection)
    require_ours(run.store)
    if run.driver.driver is Driver.RUNNING:
        name = ask(run.store, selection)
        run = without_ending_driver(JobDocuments(run.store, run))
        if run.driver.driver is Driver.RUNNING or name not in run.store.asked_retries():
            return replace(found, dry_run=False, asked=True)
        # It ended without a look at what was asked.
        run.store.answer_retry(name)
    read_state(run.store)
    with run.store.lock(tell=tell):
        done = carry_out(run.store, _rendered(run), found)
        _settle(run, done)
    return done


def checked_prompt(text: str | None) -> str:
    """A prompt as a spec may have it; empty for None. Raises UsageError."""
    if text is None or (text.strip() and len(text) <= MAX_PROMPT):
        return text or ""
    value, rule = (f"{len(text)} characters", f"at most {MAX_PROMPT}") if text.strip() else ("''", "words")
    raise UsageError([Problem("--prompt", value, rule, "say what the chunk shows")])


def _rendered(run: JobDocuments) -> Rendered:
    failed = frozenset(task.task for task in (run.state.failed if run.state else ()))
    return Rendered(run.plan, run.graph, run.digests, run.committed, run.evicted, failed)


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

"""`farm pause`, `resume`, `cancel`: requests in the run directory, which the driver polls."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from farm.state.job_state import CANCELLED, DONE, LIVE, STATE_FORM, STOPPED_EARLY, JobState, read_state
from farm.state.requests import require_ours
from farm.verbs.run import JobDocuments
from jobs.errors import Problem, UsageError
from jobs.store.documents import UserRequest
from jobs.store.lock import Driver

ENDING_S, ENDING_POLL_S = 30.0, 0.1
"""For how long a driver that has ended its job is waited for, and how often it is looked at."""


@dataclass(frozen=True, slots=True)
class ControlResult:
    """What was asked, and what happens now. `needs_driver`: nobody renders the job, so the caller has to."""

    job: str
    asked: str
    message: str
    needs_driver: bool = False


def pause(runs_url: str, job_id: str) -> ControlResult:
    """Ask the driver to hand out nothing more; raises UsageError where nobody renders the job."""
    run = JobDocuments.open(runs_url, job_id)
    _require_driver(run, "pause")
    require_ours(run.store)
    run.store.request(UserRequest.PAUSE)
    message = f"tasks in work are finished, nothing new is started; `{run.command('resume')}` continues"
    return ControlResult(run.job, "pause", message)


def resume(runs_url: str, job_id: str) -> ControlResult:
    """Take back what holds the job up. A driver that has written how the job ends, and lives on to send its
    notices, is waited for."""
    run = JobDocuments.open(runs_url, job_id)
    asked = [request for request in UserRequest if run.store.clear_request(request)]
    run = without_ending_driver(run)
    if run.driver.driver is Driver.RUNNING:
        again = "; should it have begun to stop, resume once more when it has ended" if asked else ""
        return ControlResult(run.job, "resume", f"{run.driver.who} goes on{again}")
    return ControlResult(run.job, "resume", "nobody renders it; a driver is started", needs_driver=True)


def without_ending_driver(run: JobDocuments) -> JobDocuments:
    """The job once nobody holds it who has ended it; as it is where that takes too long."""
    until_s = time.monotonic() + ENDING_S
    while run.driver.driver is Driver.RUNNING and run.state is not None and run.state.outcome not in LIVE:
        if time.monotonic() > until_s:
            break
        time.sleep(ENDING_POLL_S)
        run = JobDocuments(run.store, run)
    return run


def cancel(runs_url: str, job_id: str) -> ControlResult:
    """End the job; what is committed stays. Raises UsageError where it has ended already, and what
    `read_state` raises: a job whose state cannot be read is rendered by nobody."""
    run = JobDocuments.open(runs_url, job_id)
    require_ours(run.store)
    if run.driver.driver in {Driver.RUNNING, Driver.SILENT}:
        run.store.request(UserRequest.CANCEL)
        return ControlResult(run.job, "cancel", f"asked {run.driver.who} to stop; what is committed stays")
    outcome, _ = run.outcome
    if outcome in {DONE, STOPPED_EARLY, CANCELLED}:
        raise UsageError([_not_running(run, "cancel")])
    _write_cancelled(run)
    return ControlResult(
        run.job, "cancel", "nobody rendered it; it is marked cancelled, committed results stay"
    )


def _write_cancelled(run: JobDocuments) -> None:
    with run.store.lock():
        known = read_state(run.store) or JobState(run.job)
        cancelled = replace(known, outcome=CANCELLED, reason="cancelled by the user")
        run.store.save(STATE_FORM, cancelled)
        run.store.clear_request(UserRequest.PAUSE)


def _require_driver(run: JobDocuments, verb: str) -> None:
    if run.driver.driver not in {Driver.RUNNING, Driver.SILENT}:
        raise UsageError([_not_running(run, verb)])


def _not_running(run: JobDocuments, verb: str) -> Problem:
    outcome, _ = run.outcome
    rule, remedy = f"only a running job takes `{verb}`", f"see `{run.command('status')}`"
    return Problem("job", f"{run.job!r} is {outcome}", rule, remedy)

"""What a user asked of a job before this driver took it up.

A driver that acts on a request takes it back with the outcome that it writes. One that stands beside an
unfinished job was made of a driver that died before it could act: the next one acts on it, else whatever
starts a dead driver again would undo it. Beside a job that has ended, it came too late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import CANCELLED, INTERRUPTED, PAUSED, RUNNING, STATE_FORM, JobState
from farm.state.locks import LOCKS_FORM
from jobs.commands import resume_command
from jobs.errors import Problem, UsageError
from jobs.planning.plan import PLAN_FORM
from jobs.store.chosen import SEEDS_FORM
from jobs.store.documents import UserRequest

if TYPE_CHECKING:
    from jobs.store.store import Store

ANSWERED: Mapping[str, tuple[UserRequest, ...]] = {
    CANCELLED: (UserRequest.CANCEL, UserRequest.PAUSE),
    PAUSED: (UserRequest.PAUSE,),
}
"""By outcome: the requests that it settles."""


def require_ours(store: Store) -> None:
    """Raises NewerFormat for a job with documents of a later format: written over, they would lose
    something."""
    store.require_ours(STATE_FORM, PLAN_FORM, DIGESTS_FORM, SEEDS_FORM, LOCKS_FORM)


def requested_end(store: Store, topology: str, known: JobState | None) -> tuple[str, str] | None:
    """Outcome and reason with which the job ends before it begins; None where nothing keeps it. `topology` is
    what it would have been rendered with."""
    asked = store.requests()
    outcome = known.outcome if known is not None else INTERRUPTED
    if UserRequest.CANCEL in asked and outcome in (RUNNING, INTERRUPTED, PAUSED):
        return CANCELLED, "cancelled by the user"
    if UserRequest.PAUSE in asked and outcome in (RUNNING, INTERRUPTED):
        again = resume_command(store.job_id, store.runs_url, topology)
        return PAUSED, f"paused by the user; `{again}` continues"
    return None


def require_not_cancelled(job: str, runs_url: str, topology: str, known: JobState | None) -> None:
    """Raise UsageError for a job whose stored outcome is `cancelled`; `topology` is what it would have been
    rendered with."""
    if known is None or known.outcome != CANCELLED:
        return
    rule = "a cancelled job is rendered only when it is taken up again on purpose"
    again = resume_command(job, runs_url, topology)
    remedy = (
        f"`{again}` continues it as it is; rendering or submitting the spec with --resume does too, also "
        "after an edit of it"
    )
    raise UsageError([Problem("job", f"{job!r} was cancelled", rule, remedy)])

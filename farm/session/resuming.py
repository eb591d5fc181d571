"""A run directory that was there before this driver: what it says of the job, and what stays true of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from farm.state.fingerprint import DIGESTS_FORM, changed_since, frozen_now
from farm.state.job_state import JobState, read_state
from farm.state.spec_origin import which_spec
from jobs.commands import render_command
from jobs.errors import CannotRun, DamagedDocument
from jobs.store.documents import SPEC

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.store import Store


@dataclass(frozen=True, slots=True)
class Resumed:
    """A job as a driver takes it up: `before` is how it stood, `now` how it stands from here on.

    `notice` says which spec is rendered, where there are two. With `as_it_was` it is the one that the run
    directory holds.
    """

    before: JobState | None
    now: JobState
    notice: str
    as_it_was: bool


def known_state(store: Store, on_purpose: bool) -> JobState | None:
    """How the job stood. Raises DamagedDocument, unless it is taken up `on_purpose`, whatever it was."""
    try:
        return read_state(store)
    except DamagedDocument:
        if on_purpose:
            return None
        raise


def resumed(
    store: Store, before: JobState | None, now: JobState, job: str, spec_text: str, on_purpose: bool
) -> Resumed:
    """What this driver makes of a job that stood as `before`; `spec_text` is what it renders."""
    stored = store.read_text(SPEC)
    origin = before.spec if before else None
    same = _but_version(stored) == _but_version(spec_text) if stored else None
    notice = which_spec(same, now.spec, origin, partial(render_command, store.job_id, job, store.runs_url))
    from_run = now.spec is None and stored == spec_text
    films = before.videos if before else ()
    now = replace(now, videos=films, spec=origin if from_run else now.spec)
    return Resumed(before, now, notice, as_it_was=on_purpose and from_run)


def _but_version(spec_text: str) -> str:
    """A spec's text without the version of its format: it may have been migrated, and says the same."""
    return re.sub(r"^version: \d+\n", "", spec_text, count=1, flags=re.MULTILINE)


def freeze(
    store: Store, plan: Plan, report: Mapping[str, Any], digests: Mapping[str, str], as_it_was: bool
) -> str:
    """Keeps what the digests stand for; returns what that changes, in words.

    Raises CannotRun where it changes something and the job has to stay `as_it_was`; nothing is kept then.
    """
    now = frozen_now(plan, report, digests)
    changed = changed_since(store, now)
    if changed and as_it_was:
        again = render_command(store.job_id, plan.job, store.runs_url)
        raise CannotRun(
            f"job {store.job_id} was {changed}. Resumed here, all that depends on that would be made again, "
            f"and films replaced: resume it where it was begun, or `{again} --resume` renders it anew."
        )
    store.save(DIGESTS_FORM, now)
    return f"job {store.job_id} was {changed}; what depends on that is made again" if changed else ""

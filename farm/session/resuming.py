"""A run directory that was there before this driver: what it says of the job, and what stays true of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from farm.session.selection import to_compute
from farm.state.fingerprint import (
    DIGESTS_FORM,
    Frozen,
    as_report,
    changed_since,
    frozen_now,
    frozen_report,
    job_fingerprint,
    recorded_fingerprint,
)
from farm.state.job_state import JobState, read_state
from farm.state.locks import locked_results, read_locks, same_models
from farm.state.spec_origin import which_spec
from jobs.commands import job_command, render_command
from jobs.errors import CannotRun, DamagedDocument
from jobs.store.documents import SPEC
from jobs.tasks.digest import digests_with
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from farm.session.ledger import Ledger
    from jobs.planning.planned import Plan
    from jobs.store.store import Store
    from jobs.tasks.digest import Fingerprint
    from jobs.tasks.task import TaskGraph


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


def known_state(store: Store, topology: str, on_purpose: bool) -> JobState | None:
    """How the job stood that is rendered with `topology` now. Raises DamagedDocument, unless it is taken up
    `on_purpose`, whatever it was."""
    try:
        return read_state(store, topology)
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
    again = partial(render_command, store.job_id, job, store.runs_url, now.topology)
    notice = which_spec(same, now.spec, origin, again)
    from_run = now.spec is None and stored == spec_text
    films = before.videos if before else ()
    now = replace(now, videos=films, spec=origin if from_run else now.spec)
    return Resumed(before, now, notice, as_it_was=on_purpose and from_run)


def _but_version(spec_text: str) -> str:
    """A spec's text without the version of its format: it may have been migrated, and says the same."""
    return re.sub(r"^version: \d+\n", "", spec_text, count=1, flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the engine, as a worker reports it. `kept`: it is what the results were made with, not
    what is here, and nothing is to be made."""

    report: Mapping[str, Any]
    kept: Frozen | None = None

    def fingerprint(self, graph: TaskGraph, plan: Plan) -> Fingerprint:
        """What the digests of the graph stand for."""
        if self.kept is not None:
            return recorded_fingerprint(graph, plan, self.kept)
        return job_fingerprint(graph, self.report["fingerprint"])


def known_before(store: Store, plan: Plan) -> Known | None:
    """What an earlier render learned, where it is still true; None where a worker has to be asked.

    Of a job whose results are all locked a worker says with what the rest is made, which may be another
    device; nobody is asked where there is no rest.
    """
    report, kept, locks = frozen_report(store, plan), store.recall(DIGESTS_FORM), read_locks(store)
    known = Known(report) if report else None
    if not locks.locks or kept is None or not same_models(kept.config, kept.sources, plan):
        return known
    recorded, resolved = Known(as_report(kept), kept), plan.resolve(kept.modes)
    graph = build_graph(resolved)
    then = recorded.fingerprint(graph, resolved)
    found = digests_with(graph, then, locked_results(locks, resolved, graph, then)).by_task
    # Damage shows here, and not only once nobody is left who could mend it.
    there = store.check().commits.keys()
    if locks.digests.issuperset(found.values()) and not to_compute(
        graph, found, there, store.evicted_digests()
    ):
        return recorded
    return known if there & set(found.values()) - locks.digests else None


def freeze(store: Store, plan: Plan, known: Known, ledger: Ledger, taken_up: Resumed) -> str:
    """Keeps what the digests stand for; returns what that changes, in words.

    Raises CannotRun where it changes something and the job has to stay as it was; nothing is kept then.
    """
    if known.kept is not None:
        store.save(DIGESTS_FORM, replace(known.kept, digests=ledger.digests, inputs=dict(ledger.contents)))
        return ""
    now = frozen_now(plan, known.report, ledger.digests, ledger.contents)
    changed = changed_since(store, now, read_locks(store).digests)
    if changed and taken_up.as_it_was:
        again = render_command(store.job_id, plan.job, store.runs_url, taken_up.now.topology)
        lock = job_command("lock", store.job_id, store.runs_url)
        raise CannotRun(
            f"job {store.job_id} was {changed}. Resumed here, all that depends on that would be made again, "
            f"and films replaced: resume it where it was begun, `{lock}` keeps what is committed, or "
            f"`{again} --resume` renders it anew."
        )
    store.save(DIGESTS_FORM, now)
    return f"job {store.job_id} was {changed}; what depends on that is made again" if changed else ""

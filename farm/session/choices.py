"""What people chose of a job: the takes that its films have, and the second passes that they approved.

A driver takes what was chosen when it begins. An approval (`run.approve: sample`) names the digest of a
sampled chunk. Whatever changes the chunk, a new seed, an edited prompt, another chunk before it in the shot,
changes its digest, and so asks again. A pick names the shot, and stays when the prompt changes, as a seed
does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.state.creation import dated
from farm.state.fingerprint import DIGESTS_FORM, frozen_report, job_fingerprint, recorded_fingerprint
from farm.state.locks import locked_results, read_locks
from jobs.commands import job_command
from jobs.errors import DamagedDocument, Problem, StorageProblem, UsageError
from jobs.planning.choices import with_drafts, with_picks
from jobs.planning.plan import reseeded
from jobs.tasks.digest import digests_with
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.store import Store

MOST_NAMED = 5


def as_chosen(store: Store, plan: Plan) -> Plan:
    """The plan with the day of the job's first render, the takes that were picked, and the seeds that
    `farm retry` drew. Raises StorageProblem where these are torn, DamagedDocument where a pick is, and
    UsageError for a pick of a take that the spec does not have any more."""
    picks = store.picks()
    if missing := [problem for pick in picks.items() if (problem := _missing(store, plan, *pick))]:
        raise UsageError(missing)
    return reseeded(with_picks(dated(plan, store), picks), store.seed_overrides())


def _missing(store: Store, plan: Plan, shot: tuple[str, str], number: int) -> Problem | None:
    """Why a picked take cannot be in its film. A shot that the spec has no longer needs none."""
    film, name = shot
    if number == 1 or not any(video.name == film and name in video.shots for video in plan.films):
        return None
    count = sum(1 for video in plan.videos if video.take and (video.film, video.take.name) == shot)
    if number <= count:
        return None
    first = job_command(f"pick {name} 1 --video {film}", store.job_id, store.runs_url)
    rule = f"the spec has that take; it has {count or 1} now"
    remedy = f"write `takes: {number}` for it, or pick the first with `{first}`"
    return Problem(f"shot {name} of {film}", f"take {number} was picked", rule, remedy)


def plan_to_render(store: Store, plan: Plan) -> Plan:
    """The plan as it was chosen, and with those videos as drafts of which a chunk is not approved yet. Raises
    as `as_chosen` does."""
    plan = as_chosen(store, plan)
    if plan.run.approve is None:
        return plan
    draft = with_drafts(plan, ())
    report, kept, locks = frozen_report(store, draft), store.recall(DIGESTS_FORM), read_locks(store)
    if kept is None or (report is None and not locks.locks):
        return draft
    resolved = draft.resolve(kept.modes)
    graph, seen = build_graph(resolved), store.approvals()
    today = job_fingerprint(graph, kept.engine) if report else recorded_fingerprint(graph, resolved, kept)
    known = digests_with(graph, today, locked_results(locks, resolved, graph, today)).by_task
    if report is None:
        # With other software only what is locked is what it was when it was approved.
        seen &= locks.digests
    waiting = {
        task.video
        for task in graph.tasks.values()
        if task.stage is Stage.SAMPLE and known[task.id] not in seen
    }
    return with_drafts(plan, [video.name for video in plan.films if video.name not in waiting])


def picked_since(store: Store, plan: Plan) -> str:
    """Takes that were picked after this driver began, in words; empty where none was."""
    takes = [video.take for video in plan.videos if video.take]
    try:
        picks = store.picks() if takes else {}
    except (StorageProblem, DamagedDocument):
        return ""  # The next driver says so.
    late = [take for take in takes if not take.picked and picks.get((take.video, take.name)) == take.number]
    if not late:
        return ""
    named = ", ".join(f"take {take.number} of {take.name} ({take.video})" for take in late[:MOST_NAMED])
    more = f" and {len(late) - MOST_NAMED} more" if len(late) > MOST_NAMED else ""
    again = job_command("resume", store.job_id, store.runs_url)
    return f"picked meanwhile: {named}{more}; `{again}` makes the film with it"


def waits_for(store: Store, plan: Plan) -> str:
    """What a finished render waits for, in words; empty where nothing is a draft."""
    drafts = [video.name for video in plan.films if video.draft]
    if not drafts:
        return ""
    more = f" and {len(drafts) - MOST_NAMED} more" if len(drafts) > MOST_NAMED else ""
    again = job_command("approve", store.job_id, store.runs_url)
    named = ", ".join(drafts[:MOST_NAMED])
    return f"it waits for approval of {named}{more}: look at the drafts, then `{again}`"

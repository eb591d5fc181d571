"""What people chose of a job: the takes that its films have, other seeds and prompts, and the second passes
that they approved.

A driver takes what was chosen when it begins, and what is chosen while it renders. An approval
(`run.approve: sample`) names the digest of a
sampled chunk. Whatever changes the chunk, a new seed, an edited prompt, another chunk before it in the shot,
changes its digest, and so asks again. A pick names the shot, and stays when the prompt changes, as a seed
does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.state.creation import dated
from farm.state.fingerprint import DIGESTS_FORM, frozen_report, job_fingerprint, recorded_fingerprint
from farm.state.locks import locked_results, read_locks
from farm.state.progress import split_task
from jobs.commands import job_command
from jobs.errors import Problem, UsageError
from jobs.planning.choices import with_drafts, with_overrides, with_picks
from jobs.planning.output_names import draft_of
from jobs.planning.plan import PLAN_FORM, PlanFile
from jobs.tasks.digest import digests_with
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.session.state_file import StateFile
    from farm.state.job_state import FilmState
    from jobs.planning.planned import Plan
    from jobs.store.store import Store

MOST_NAMED = 5


def as_chosen(store: Store, plan: Plan) -> Plan:
    """The plan with the day of the job's first render, the takes that were picked, and the seeds and
    prompts that `farm retry` was given. Raises StorageProblem where these are torn, DamagedDocument where a
    pick is, and UsageError for a pick of a take that the spec does not have any more."""
    picks = store.picks()
    if missing := [problem for pick in picks.items() if (problem := _missing(store, plan, *pick))]:
        raise UsageError(missing)
    picked = with_picks(dated(plan, store), picks)
    return with_overrides(picked, store.seed_overrides(), store.rewordings())


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
    """The plan as it was chosen, with drafts of those films of which a chunk is not approved yet. Raises as
    `as_chosen` does."""
    plan = as_chosen(store, plan)
    if plan.run.approve is None:
        return plan
    draft = with_drafts(plan, ())
    report, kept, locks = frozen_report(store, draft), store.recall(DIGESTS_FORM), read_locks(store)
    if kept is None or (report is None and not locks.locks):
        return draft
    resolved = plan.resolve(kept.modes)
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


def film_taken(store: Store, state: StateFile, plan: Plan, film: FilmState) -> Plan:
    """Takes a film that is delivered into the state; it takes the place of its draft, also in the documents.
    Returns the plan from then on."""
    draft = draft_of(film.name)
    state.now = state.now.with_film(film, plan.outputs)
    state.change(videos=tuple(each for each in state.now.videos if each.name != draft))
    left = tuple(video for video in plan.videos if video.own or video.name != draft)
    if len(left) == len(plan.videos):
        return plan
    plan, kept = replace(plan, videos=left), store.recall(DIGESTS_FORM)
    store.save(PLAN_FORM, PlanFile(plan))
    if kept is not None:
        digests = {task: each for task, each in kept.digests.items() if split_task(task)[0] != draft}
        store.save(DIGESTS_FORM, replace(kept, digests=digests))
    state.change(films=len(plan.outputs))
    return plan


def waits_for(store: Store, held: Iterable[str]) -> str:
    """What a finished render waits for, in words, of the tasks that are held; empty where none is."""
    films = list(dict.fromkeys(split_task(task)[0] for task in held))
    if not films:
        return ""
    more = f" and {len(films) - MOST_NAMED} more" if len(films) > MOST_NAMED else ""
    again = job_command("approve", store.job_id, store.runs_url)
    named = ", ".join(films[:MOST_NAMED])
    return f"it waits for approval of {named}{more}: look at the drafts, then `{again}`"

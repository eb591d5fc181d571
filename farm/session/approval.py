"""`run.approve: sample`: which videos have their second pass, and which are drafts until somebody approves.

An approval names the digest of a sampled chunk. Whatever changes the chunk, a new seed, an edited prompt,
another chunk before it in the shot, changes its digest, and so asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.state.creation import dated
from farm.state.fingerprint import frozen_report, job_fingerprint
from jobs.commands import job_command
from jobs.planning.drafts import with_drafts
from jobs.planning.plan import reseeded
from jobs.tasks.digest import digests
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.store import Store

MOST_NAMED = 5


def plan_to_render(store: Store, plan: Plan) -> Plan:
    """The plan with the seeds that `farm retry` drew, the day of the first render, and with those videos as
    drafts of which a chunk is not approved yet. Raises StorageProblem where the seeds are torn."""
    plan = reseeded(dated(plan, store), store.seed_overrides())
    if plan.run.approve is None:
        return plan
    draft = with_drafts(plan, ())
    report = frozen_report(store, draft)
    if report is None:
        return draft
    graph = build_graph(draft.resolve(report.get("modes", {})))
    known, seen = digests(graph, job_fingerprint(graph, report["fingerprint"])), store.approvals()
    waiting = {
        task.video
        for task in graph.tasks.values()
        if task.stage is Stage.SAMPLE and known[task.id] not in seen
    }
    return with_drafts(plan, [video.name for video in plan.videos if video.name not in waiting])


def waits_for(store: Store, plan: Plan) -> str:
    """What a finished render waits for, in words; empty where nothing is a draft."""
    drafts = [video.name for video in plan.videos if video.draft]
    if not drafts:
        return ""
    more = f" and {len(drafts) - MOST_NAMED} more" if len(drafts) > MOST_NAMED else ""
    again = job_command("approve", store.job_id, store.runs_url)
    named = ", ".join(drafts[:MOST_NAMED])
    return f"it waits for approval of {named}{more}: look at the drafts, then `{again}`"

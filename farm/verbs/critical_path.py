"""How long a film's longest chain takes, by what the chunks of its second pass share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.scheduler.graph import scheduled
from farm.topology.bound import job_facts
from jobs.planning.windows import shown_again
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.frames import Joint
    from jobs.planning.planned import Plan
    from jobs.tasks.task import StageTask

JOINTS: tuple[Joint, ...] = ("still", "overlap")


def chain_seconds(plan: Plan, video: str, duration_s: Callable[[StageTask], float]) -> dict[Joint, float]:
    """Seconds of the longest chain of that film, as its second pass is planned first; empty without one.
    Temporal rounds have no other joint."""
    if plan.upscale is None:
        return {}
    others = JOINTS if plan.upscale.temporal == 1 else ()
    joints = dict.fromkeys((plan.upscale.joint, *others))
    return {joint: _seconds(_with(plan, video, joint), duration_s) for joint in joints}


def _with(plan: Plan, name: str, joint: Joint) -> Plan:
    """The plan of that film alone, with that joint."""
    assert plan.upscale is not None
    videos = (
        replace(video, chunks=tuple(shown_again(video.chunks, joint, plan.decode, plan.upscale.temporal)))
        for video in plan.videos
        if video.name == name
    )
    return replace(plan, videos=tuple(videos), upscale=replace(plan.upscale, joint=joint))


def _seconds(plan: Plan, duration_s: Callable[[StageTask], float]) -> float:
    tasks = build_graph(plan).tasks.values()
    return round(job_facts(scheduled(task, duration_s(task)) for task in tasks).chain.seconds, 3)

"""The makespan that no schedule can beat: what promise 3 is measured against. Shares no code with the
scheduler.

Two things take their time on any schedule. A chain runs one task after the other. And the tasks of a set of
stages, which start when the first of them can and end when the shortest way from any of them to the end is
gone, are done by the workers that host one of those stages: for each set, earliest start + work / workers +
shortest tail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from farm.schedule_graph import ScheduledTask
from jobs.errors import CapacityError
from jobs.graph import Stage
from jobs.topology import Topology


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds, and the stages whose workers (or the task whose chain) take them."""

    seconds: float
    stages: tuple[Stage, ...] = ()
    last_task: str = ""

    def __str__(self) -> str:
        if self.stages:
            return f"{self.seconds:.1f} s: the workers of {' and '.join(self.stages)} are busy all along"
        return f"{self.seconds:.1f} s: the chain that ends in {self.last_task} takes as long"


@dataclass(slots=True)
class _StageFacts:
    work_s: float = 0.0
    earliest_s: float = float("inf")
    shortest_tail_s: float = float("inf")


def makespan_bound(tasks: Iterable[ScheduledTask], topology: Topology) -> Bound:
    """The bound for these tasks (each after its needs) on workers of equal speed; start-up and transfers are
    free.

    Raises CapacityError when a stage is hosted by nobody.
    """
    listed = list(tasks)
    facts, chain = _measure(listed)
    topology.require(facts)
    bounds = [chain]
    for size in range(1, len(facts) + 1):
        bounds += [_stage_bound(stages, facts, topology) for stages in combinations(facts, size)]
    return max(bounds, key=lambda bound: bound.seconds)


def _stage_bound(stages: tuple[Stage, ...], facts: dict[Stage, _StageFacts], topology: Topology) -> Bound:
    workers = sum(pool.count for pool in topology.pools if pool.stages.intersection(stages))
    if not workers:
        raise CapacityError(f"nobody hosts {', '.join(stages)}; add a pool for it")
    work_s = sum(facts[stage].work_s for stage in stages)
    head_s = min(facts[stage].earliest_s for stage in stages)
    tail_s = min(facts[stage].shortest_tail_s for stage in stages)
    return Bound(head_s + work_s / workers + tail_s, stages=stages)


def _measure(tasks: list[ScheduledTask]) -> tuple[dict[Stage, _StageFacts], Bound]:
    """Work, earliest start and shortest tail of each stage, and the longest chain."""
    earliest: dict[str, float] = {}
    for task in tasks:
        earliest[task.id] = max((earliest[need] for need in task.needs), default=0.0) + task.duration_s
    tail = dict.fromkeys(earliest, 0.0)
    facts: dict[Stage, _StageFacts] = {}
    for task in reversed(tasks):
        for need in task.needs:
            tail[need] = max(tail[need], tail[task.id] + task.duration_s)
        stage = facts.setdefault(task.stage, _StageFacts())
        stage.work_s += task.duration_s
        stage.earliest_s = min(stage.earliest_s, earliest[task.id] - task.duration_s)
        stage.shortest_tail_s = min(stage.shortest_tail_s, tail[task.id])
    last = max(earliest, key=lambda task: earliest[task], default="")
    return facts, Bound(earliest.get(last, 0.0), last_task=last)

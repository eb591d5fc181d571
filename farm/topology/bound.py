"""The makespan that no schedule can beat: what promise 3 is measured against. Shares no code with the
scheduler.

Two things take their time on any schedule. A chain runs one task after the other. And the tasks of a set of
stages, which start when the first of them can and end when the shortest way from any of them to the end is
gone, are done by the workers that host one of those stages: for each set, earliest start + work / workers +
shortest tail.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, SHARED_STAGES, Topology

if TYPE_CHECKING:
    from farm.scheduler.graph import ScheduledTask


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
class StageFacts:
    """Of all tasks of one stage: how many, the work, the earliest start, and the shortest path behind any of
    them."""

    tasks: int = 0
    work_s: float = 0.0
    earliest_s: float = float("inf")
    shortest_tail_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the bound depends on: measured once, asked for many topologies."""

    stages: dict[Stage, StageFacts]
    chain: Bound

    @property
    def at_once(self) -> int:
        """The most GPU tasks that can run at the same time: a chunk's follow each other."""
        return max((facts.tasks for stage, facts in self.stages.items() if stage in GPU_STAGES), default=0)

    def bound(self, topology: Topology, without: Collection[Stage] = ()) -> Bound:
        """The bound on workers of equal speed; start-up and transfers are free. Stages `without` have as many
        workers as they like.

        Raises CapacityError when a stage is hosted by nobody.
        """
        counted = [stage for stage in self.stages if stage not in without]
        topology.require(counted)
        bounds = [self.chain]
        for size in range(1, len(counted) + 1):
            bounds += [self._stage_bound(stages, topology) for stages in combinations(counted, size)]
        return max(bounds, key=lambda bound: bound.seconds)

    def _stage_bound(self, stages: tuple[Stage, ...], topology: Topology) -> Bound:
        workers = sum(pool.count for pool in topology.pools if not pool.stages.isdisjoint(stages))
        work_s = sum(self.stages[stage].work_s for stage in stages)
        head_s = min(self.stages[stage].earliest_s for stage in stages)
        tail_s = min(self.stages[stage].shortest_tail_s for stage in stages)
        return Bound(head_s + work_s / workers + tail_s, stages=stages)


def quickened(
    tasks: Iterable[ScheduledTask], topology: Topology, gang_speed: Callable[[int], float]
) -> Iterator[ScheduledTask]:
    """The tasks as long as they take on the largest gang that hosts their stage, where one does."""
    speeds = {stage: gang_speed(topology.ranks(stage)) for stage in SHARED_STAGES}
    for task in tasks:
        yield replace(task, duration_s=task.duration_s / speeds.get(task.stage, 1.0))


def job_facts(tasks: Iterable[ScheduledTask]) -> JobFacts:
    """The facts of these tasks, each of which stands after its needs."""
    listed = list(tasks)
    earliest: dict[str, float] = {}
    for task in listed:
        earliest[task.id] = max((earliest[need] for need in task.needs), default=0.0) + task.duration_s
    tail = dict.fromkeys(earliest, 0.0)
    stages: dict[Stage, StageFacts] = {}
    for task in reversed(listed):
        for need in task.needs:
            tail[need] = max(tail[need], tail[task.id] + task.duration_s)
        facts = stages.setdefault(task.stage, StageFacts())
        facts.tasks += 1
        facts.work_s += task.duration_s
        facts.earliest_s = min(facts.earliest_s, earliest[task.id] - task.duration_s)
        facts.shortest_tail_s = min(facts.shortest_tail_s, tail[task.id])
    last = max(earliest, key=lambda name: earliest[name], default="")
    return JobFacts(stages, Bound(earliest.get(last, 0.0), last_task=last))

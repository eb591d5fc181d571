"""Which ready task an idle worker gets.

While the job has time to spare, films are finished one after the other: the stage furthest downstream first,
within it plan order. It has none for a task whose remaining path is as long as the work that all workers
still have to do: such a task goes first, the longest path of all before the others. That is Hu's rule for
trees on equal machines, applied only as far as the makespan needs it.
"""

from __future__ import annotations

from dataclasses import dataclass

from farm.schedule_graph import STAGES, ScheduleGraph
from farm.scheduler.board import Board
from farm.scheduler.config import INFINITE_S, SchedulerConfig
from farm.scheduler.queues import NONE
from farm.scheduler.reasons import Reason, Why
from farm.scheduler.roster import Group, Worker

_GRAINS = 2.0
"""A path is critical when it comes this many of the job's longest tasks close to the bound."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A task, and why it comes first."""

    task: int
    reason: Reason


class Policy:
    """Chooses; changes nothing."""

    def __init__(self, board: Board, config: SchedulerConfig) -> None:
        self.graph = board.graph
        self.tasks = board.tasks
        self.queues = board.queues
        self.roster = board.roster
        self.swap_s = [config.swap_s.get(name, 0.0) for name in self.graph.residents]
        self.swaps = any(self.swap_s)
        self.after_s = _shortest_after(self.graph)
        self.grain_s = _GRAINS * _longest_mean(self.graph)

    def pick(self, group: Group) -> tuple[Choice, Worker] | None:
        """What to start now on an idle worker of the group, and on which; None without a ready task."""
        if self.swaps:
            worker = self._some_idle(group)
            choice = self.choose(group, worker.resident)
            return (choice, worker) if choice else None
        choice = self.choose(group)
        return (choice, self._worker_for(group, choice.task)) if choice else None

    def ready(self, group: Group) -> int:
        """How many ready tasks the group's workers can take."""
        return sum([self.queues.count(stage) for stage in group.stages])

    def deserted(self) -> str | None:
        """The stage of a ready task that nobody is left to serve, when there is no other ready task."""
        waiting = [s for s in range(len(STAGES)) if self.queues.count(s) or self.tasks.stage_left[s]]
        ready = [s for s in waiting if self.queues.count(s)]
        bare = [s for s in ready if not self.roster.hosts[s] and self.roster.had[s]]
        return STAGES[bare[0]].value if bare and len(bare) == len(ready) else None

    def rest_s(self) -> float:
        """What all workers together need at least for the work that is left, seconds of their time."""
        work, after, most = self.tasks.work_left_s, self.after_s, 0.0
        for stages, workers in self.roster.bottlenecks:
            if len(stages) == 1:
                need = work[stages[0]] / workers + after[stages[0]]
            else:
                need = sum([work[s] for s in stages]) / workers + min([after[s] for s in stages])
            most = max(most, need)
        return most

    def choose(self, group: Group, resident: int = -1) -> Choice | None:
        """The task that a worker of the group, holding the model `resident`, should get next."""
        longest, tail_s = NONE, -INFINITE_S
        for stage in group.stages:
            task = self.queues.longest(stage)
            if task != NONE:
                effective_s = self.graph.tail_s[task] - (self._swap_s(task, resident) if self.swaps else 0.0)
                if effective_s > tail_s:
                    longest, tail_s = task, effective_s
        if longest == NONE:
            return None
        rest_s = self.rest_s()
        if tail_s + self.grain_s >= rest_s:
            return Choice(longest, Reason(Why.CRITICAL, (tail_s, rest_s)))
        kept = self._resident(group, resident) if self.swaps else None
        return kept or self._downstream(group, rest_s - tail_s)

    def _swap_s(self, task: int, resident: int) -> float:
        """What loading the task's model costs on a worker that holds `resident`."""
        model = self.graph.resident[task]
        return 0.0 if model == resident else self.swap_s[model]

    def _downstream(self, group: Group, slack_s: float) -> Choice | None:
        for stage in group.stages:
            task = self.queues.first(stage)
            if task != NONE:
                return Choice(task, Reason(Why.DOWNSTREAM, (STAGES[stage].value, slack_s)))
        return None

    def _resident(self, group: Group, resident: int) -> Choice | None:
        """The furthest downstream task that runs on the model the worker holds."""
        for stage in group.stages:
            task = self.queues.first(stage)
            if task != NONE and self.graph.resident[task] == resident:
                name, cost_s = self.graph.residents[resident], self.swap_s[resident]
                return Choice(task, Reason(Why.RESIDENT, (name, cost_s)))
        return None

    def _worker_for(self, group: Group, task: int) -> Worker:
        """The idle worker that made the task's latest input, as its caches hold it; else any idle one."""
        made_by, idle = self.tasks.made_by, group.idle
        for need in reversed(self.graph.needs[task]):
            if made_by[need] in idle:
                return self.roster.workers[made_by[need]]
        return self._some_idle(group)

    def _some_idle(self, group: Group) -> Worker:
        """The worker that went idle last: its memory is the warmest."""
        number, _ = group.idle.popitem()
        group.idle[number] = None
        return self.roster.workers[number]


def _shortest_after(graph: ScheduleGraph) -> list[float]:
    """Per stage, the shortest path behind any of its tasks, seconds."""
    after = [INFINITE_S] * len(STAGES)
    for task, stage in enumerate(graph.stage):
        after[stage] = min(after[stage], graph.tail_s[task] - graph.duration_s[task])
    return after


def _longest_mean(graph: ScheduleGraph) -> float:
    """The mean duration of the stage that takes longest."""
    total, count = [0.0] * len(STAGES), [0] * len(STAGES)
    for task, stage in enumerate(graph.stage):
        total[stage] += graph.duration_s[task]
        count[stage] += 1
    return max((t / c for t, c in zip(total, count, strict=True) if c), default=0.0)

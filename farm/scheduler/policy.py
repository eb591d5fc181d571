"""Which ready task an idle worker gets.

While the job has time to spare, films are finished one after the other: the stage furthest downstream first,
within it plan order; only that a worker which samples keeps one task to follow its sample at once. The job
has none for a task whose remaining path is as long as the work that all workers still have to do: such a task
goes first, the longest path of all before the others. That is Hu's rule for trees on equal machines, applied
only as far as the makespan needs it.

Before all that come prompts, where the text encoder has no room beside the other models of a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from farm.scheduler.config import INFINITE_S, SchedulerConfig
from farm.scheduler.graph import ENCODE, SAMPLE, STAGES, ScheduleGraph
from farm.scheduler.queues import ANY, NONE
from farm.scheduler.reasons import Reason, Why
from farm.scheduler.roster import NO_MODEL

if TYPE_CHECKING:
    from farm.scheduler.board import Board
    from farm.scheduler.roster import Group, Worker

_ASKED = 4
"""Workers that are looked at before none is taken to be patient."""


_MODELS = 64
"""Models of ready tasks that are compared for a worker that has nothing to do with its own."""

_GRAINS = 3.0
"""A path is critical when it comes this many tasks close to what all workers have to do."""


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
        self.recovery = board.recovery
        self.roster = board.roster
        self.swap_s = [config.swap_s.get(name, 0.0) for name in self.graph.residents]
        self.swaps = any(self.swap_s)
        self.prompts_first = config.prompts_first
        self.no_model = self.graph.residents.index("") if "" in self.graph.residents else NO_MODEL
        self.after_s = _shortest_after(self.graph)
        self.mean_s = _mean_durations(self.graph)

    def pick(self, group: Group) -> tuple[Choice, Worker] | None:
        """What to start now on an idle worker of the group, and on which; None where nothing is ready, or
        what is ready is better left to workers that hold its model."""
        if self.swaps:
            return self._pick_by_model(group)
        choice = self.choose(group)
        return (choice, self._worker_for(group, choice.task)) if choice else None

    def patient(self, group: Group) -> Worker | None:
        """A worker with room, the longest busy first, on whose running task no critical path waits."""
        critical_s = self.rest_s() - self._grain_s(group)
        for number in islice(group.room, _ASKED):
            worker = self.roster.workers[number]
            if self.graph.tail_s[worker.held[0][0]] < critical_s:
                return worker
        return None

    def behind(self, worker: Worker) -> Choice | None:
        """What to queue behind the sample that the worker runs, which is nearly done. Another sample only
        where the worker does nothing else and the chain ends: films would be made side by side that could be
        finished one after the other. And nothing where a critical path waits, for the sample or at the
        task."""
        group, tail_s = worker.group, self.graph.tail_s
        stages = _behind_samples(group)
        if not stages and self.graph.ends_chain(worker.held[0][0]):
            stages = (SAMPLE,)
        choice = self._downstream(group, stages, 0.0)
        if choice is None:
            return None
        slack_s = self.rest_s() - max(tail_s[choice.task], tail_s[worker.held[0][0]])
        stage = STAGES[self.graph.stage[choice.task]].value
        patient = slack_s > self._grain_s(group)
        return Choice(choice.task, Reason(Why.DOWNSTREAM, (stage, slack_s))) if patient else None

    def ready(self, group: Group) -> int:
        """How many ready tasks the group's workers can take."""
        return sum([self.queues.count(stage) for stage in group.stages])

    def deserted(self) -> str | None:
        """A stage that nobody is left to serve, when no task that may start is of any other."""
        ready = [s for s in range(len(STAGES)) if self.queues.first(s) != NONE or self.recovery.picky[s]]
        if any(self.roster.hosts[stage] or not self.roster.had[stage] for stage in ready):
            return None
        return STAGES[ready[0]].value if ready else None

    def rest_s(self) -> float:
        """What all workers together need at least for the work that is left, seconds of their time."""
        work, after, most = self.tasks.work_left_s, self.after_s, 0.0
        for stages, workers in self.roster.bottlenecks:
            busy = [stage for stage in stages if work[stage]]
            if busy:
                shared_s = sum([work[stage] for stage in busy]) / workers
                most = max(most, shared_s + min([after[stage] for stage in busy]))
        return most

    def ahead(self, group: Group, worker: Worker) -> Choice | None:
        """What to queue behind the task that the worker runs: nothing on the longest path, and nothing for
        which it would load another model."""
        choice = self.choose(group, worker.resident)
        kept = choice is not None and (not self.swaps or choice.reason.why is Why.RESIDENT)
        return choice if choice and kept and choice.reason.why is not Why.CRITICAL else None

    def choose(self, group: Group, resident: int = NO_MODEL) -> Choice | None:
        """The task that a worker of the group, holding the model `resident`, should get next."""
        if self.prompts_first and (prompt := self._prompt(group)):
            return prompt
        longest, tail_s = self._longest(group, resident)
        if longest == NONE:
            return self._leftover(group)
        rest_s = self.rest_s()
        critical = Choice(longest, Reason(Why.CRITICAL, (tail_s, rest_s)))
        waits = tail_s + self._grain_s(group) >= rest_s
        if waits and (not self.swaps or self._worth(group, longest, resident, rest_s)):
            return critical
        if self.swaps:
            return self._resident(group, resident) or self._change(group, resident)
        return self._downstream(group, self._not_kept(group), rest_s - tail_s) or critical

    def _prompt(self, group: Group) -> Choice | None:
        """The next prompt, for a worker whose other stages wait until the text encoder has left."""
        task = self.queues.prompt() if ENCODE in group.stages[1:] and self._plenty(group, ENCODE) else NONE
        return None if task == NONE else Choice(task, Reason(Why.PROMPTS, (self.queues.prompts.live,)))

    def _longest(self, group: Group, resident: int) -> tuple[int, float]:
        """The task with the longest path behind it, less what loading its model would cost; its length."""
        longest, tail_s = NONE, -INFINITE_S
        models = (ANY, self.no_model, resident) if self.swaps else (ANY,)
        for stage in group.stages:
            for model in models if self._plenty(group, stage) else ():
                task = self.queues.longest(stage, model)
                if task != NONE:
                    path_s = self.graph.tail_s[task] - (self._swap_s(task, resident) if self.swaps else 0.0)
                    if path_s > tail_s:
                        longest, tail_s = task, path_s
        return longest, tail_s

    def _not_kept(self, group: Group) -> tuple[int, ...]:
        """The stages of which a task may start: while there is something to sample, one task behind sample is
        kept for each worker, to follow the sample at once, before its result is written and reported."""
        samples = self.queues.first(SAMPLE) != NONE and self._plenty(group, SAMPLE)
        if self.swaps or SAMPLE not in group.stages or not samples:
            return group.stages
        behind = _behind_samples(group)
        kept = sum([self.queues.count(stage) for stage in behind]) <= group.up
        return group.stages[len(behind) :] if kept else group.stages

    def _downstream(self, group: Group, stages: tuple[int, ...], slack_s: float) -> Choice | None:
        """The first task of the furthest downstream of these stages."""
        for stage in stages:
            task = self.queues.first(stage) if self._plenty(group, stage) else NONE
            if task != NONE:
                return Choice(task, Reason(Why.DOWNSTREAM, (STAGES[stage].value, slack_s)))
        return None

    def _leftover(self, group: Group) -> Choice | None:
        """What is left where every ready task is one that more specialised workers wait for."""
        for stage in group.stages:
            task = self.queues.first(stage)
            if task != NONE:
                return Choice(task, Reason(Why.LEFTOVER, (STAGES[stage].value,)))
        return None

    def _plenty(self, group: Group, stage: int) -> bool:
        """Whether a task of the stage can be taken without starving workers that host less."""
        return self.queues.count(stage) > group.specialists.get(stage, 0)

    def _grain_s(self, group: Group) -> float:
        """How far the group's workers may end apart. One worker alone loses nothing by its order."""
        longest_s = max([self.mean_s[stage] for stage in group.stages])
        return _GRAINS * longest_s * (1.0 - 1.0 / group.up)

    def _swap_s(self, task: int, resident: int) -> float:
        """What loading the task's model costs on a worker that holds `resident`. The first that a worker
        holds is part of its start."""
        model = self.graph.resident[task]
        return 0.0 if resident in (NO_MODEL, model) else self.swap_s[model]

    def _worth(self, group: Group, task: int, resident: int, spare_s: float = 0.0) -> bool:
        """Whether the task is worth the loading of its model: those that hold it have more to do with it
        than that takes, and than `spare_s`."""
        swap_s = self._swap_s(task, resident)
        if not swap_s:
            return True
        model = self.graph.resident[task]
        return self.tasks.model_left_s[model] > max(swap_s, spare_s) * group.holding.get(model, 0)

    def _pick_by_model(self, group: Group) -> tuple[Choice, Worker] | None:
        """The first idle worker for which there is something, those with a task for the model that they hold
        before those that would have to load another."""
        change: tuple[Choice, Worker] | None = None
        for resident, idle in group.idle_with.items():
            choice = self.choose(group, resident) if idle else None
            if choice is not None:
                found = choice, self.roster.workers[next(reversed(idle))]
                if not self._swap_s(choice.task, resident):
                    return found
                change = change or found
        return change

    def _resident(self, group: Group, resident: int) -> Choice | None:
        """The furthest downstream task that runs on the model the worker holds, or on any."""
        for stage in group.stages:
            for model in (self.no_model, resident) if self._plenty(group, stage) else ():
                task = self.queues.first(stage, model) if model != NO_MODEL else NONE
                if task != NONE:
                    held = self.graph.residents[resident] if resident != NO_MODEL else ""
                    return Choice(task, Reason(Why.RESIDENT, (held, self.swap_s[resident] if held else 0.0)))
        return None

    def _change(self, group: Group, resident: int) -> Choice | None:
        """The furthest downstream task of the model with which most is left to do for each worker that would
        hold it; None where those that do are done sooner than it is loaded."""
        left_s, holding = self.tasks.model_left_s, group.holding
        waiting = islice(self.queues.waiting, _MODELS)
        for model in sorted(waiting, key=lambda each: -left_s[each] / (1 + holding.get(each, 0))):
            for stage in group.stages:
                task = self.queues.first(stage, model) if self._plenty(group, stage) else NONE
                if task != NONE and self._worth(group, task, resident):
                    said = self.graph.residents[model], self._swap_s(task, resident)
                    why = Reason(Why.CHANGE, (*said, left_s[model], holding.get(model, 0)))
                    return Choice(task, why)
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


def _behind_samples(group: Group) -> tuple[int, ...]:
    """The group's stages behind sample, downstream first."""
    return tuple([stage for stage in group.stages if stage > SAMPLE])


def _shortest_after(graph: ScheduleGraph) -> list[float]:
    """Per stage, the shortest path behind any of its tasks, seconds."""
    after = [INFINITE_S] * len(STAGES)
    for task, stage in enumerate(graph.stage):
        after[stage] = min(after[stage], graph.tail_s[task] - graph.duration_s[task])
    return after


def _mean_durations(graph: ScheduleGraph) -> list[float]:
    """Per stage, the mean expected duration, seconds."""
    total, count = [0.0] * len(STAGES), [0] * len(STAGES)
    for task, stage in enumerate(graph.stage):
        total[stage] += graph.duration_s[task]
        count[stage] += 1
    return [t / c if c else 0.0 for t, c in zip(total, count, strict=True)]

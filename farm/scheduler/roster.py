"""Who can serve which stage, who is idle, and who is being tried again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from itertools import combinations

from farm.scheduler.config import INFINITE_S, SchedulerConfig
from farm.scheduler.graph import STAGE_NUMBER, STAGES
from jobs.tasks.task import Stage

Numbers = tuple[int, ...]
NO_MODEL = -1

_UPSTREAM = {STAGE_NUMBER[Stage.ENCODE], STAGE_NUMBER[Stage.SAMPLE]}


class Status(IntEnum):
    """UP serves; RESTING is suspended; PROBING must answer; RETIRED gets no work until it reports."""

    UP = 0
    RESTING = 1
    PROBING = 2
    RETIRED = 3


@dataclass(eq=False, slots=True)
class Group:
    """The workers that host the same stages. `stages` are numbers, downstream first.

    `specialists` counts, by stage, the serving workers of groups that host that stage and fewer in all.

    `idle` holds workers without a task, `room` those that may queue one more behind what they run, `nearly`
    those that may behind a sample; all by number. Where workers exchange models, `holding` counts those that
    serve by the model that they hold, and `idle_with` has the idle ones.
    """

    stages: tuple[int, ...]
    up: int = 0
    specialists: dict[int, int] = field(default_factory=dict)
    idle: dict[int, None] = field(default_factory=dict)
    room: dict[int, None] = field(default_factory=dict)
    nearly: dict[int, None] = field(default_factory=dict)
    holding: dict[int, int] = field(default_factory=dict)
    idle_with: dict[int, dict[int, None]] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Worker:
    """One worker. `held` are its tasks (number, attempt), the running one first.

    `deadline_s` is the running task's, and `nearly` says that a sample's usual duration is nearly over;
    `wake_s` is the end of a rest or of a probe. `losses` are those not yet
    forgiven, `fruitless` those since its last result, `streak` the failures since then. `resident` numbers
    the model it holds, `filed` the one that it is counted under (None: it does not serve). `leaving` says
    that its node goes away soon.
    """

    id: str
    number: int
    group: Group
    host: str = ""
    status: Status = Status.UP
    held: deque[tuple[int, int]] = field(default_factory=deque)
    started_s: float = 0.0
    deadline_s: float = INFINITE_S
    nearly: bool = False
    wake_s: float = INFINITE_S
    alive: bool = True
    losses: int = 0
    fruitless: int = 0
    lost_s: float = -INFINITE_S
    streak: int = 0
    resident: int = NO_MODEL
    filed: int | None = None
    leaving: bool = False
    stage: int = -1


class Roster:
    """All workers ever seen, grouped by the stages they host.

    By stage: `had` counts them all, `hosts` those not retired, `up` those that serve now.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.exchange = any(config.swap_s.values())
        self.workers: list[Worker] = []
        self.by_id: dict[str, Worker] = {}
        self.groups: list[Group] = []
        self.up = [0] * len(STAGES)
        self.hosts = [0] * len(STAGES)
        self.had = [0] * len(STAGES)
        self.bottlenecks: tuple[tuple[Numbers, int], ...] = ()

    def add(self, worker_id: str, stages: frozenset[Stage], host: str) -> Worker:
        """A worker that was not known before; it is up."""
        group = self._group(tuple(sorted((STAGE_NUMBER[stage] for stage in stages), reverse=True)))
        worker = Worker(worker_id, len(self.workers), group, host, status=Status.RETIRED)
        self.workers.append(worker)
        self.by_id[worker_id] = worker
        for stage in group.stages:
            self.had[stage] += 1
        self.set_status(worker, Status.UP)
        return worker

    def _group(self, stages: tuple[int, ...]) -> Group:
        for group in self.groups:
            if group.stages == stages:
                return group
        group = Group(stages)
        self.groups.append(group)
        self.groups.sort(key=lambda each: len(each.stages))
        return group

    def set_status(self, worker: Worker, status: Status) -> None:
        """Changes the status and every count that depends on it."""
        for stage in worker.group.stages:
            self.up[stage] += (status == Status.UP) - (worker.status == Status.UP)
            self.hosts[stage] += (status != Status.RETIRED) - (worker.status != Status.RETIRED)
        moved = (worker.status == Status.UP) != (status == Status.UP)
        worker.group.up += (status == Status.UP) - (worker.status == Status.UP)
        worker.status = status
        self.place(worker)
        if moved:
            self.bottlenecks = self._bottlenecks()
            for group in self.groups:
                group.specialists = self._specialists(group)

    def place(self, worker: Worker) -> None:
        """Files the worker under idle, room or nearly, by what it holds."""
        group, number, held = worker.group, worker.number, len(worker.held)
        up = worker.status == Status.UP
        _file(group.idle, number, up and not held)
        queues = up and 0 < held < self.config.depth
        _file(group.room, number, queues and worker.stage not in _UPSTREAM)
        _file(group.nearly, number, queues and worker.nearly)
        if self.exchange:
            self._count_model(worker, up)

    def _count_model(self, worker: Worker, up: bool) -> None:
        """Counts the worker under the model that it holds now."""
        group, now = worker.group, worker.resident if up else None
        if worker.filed is not None:
            group.holding[worker.filed] -= 1
            idle = group.idle_with[worker.filed]
            idle.pop(worker.number, None)
            if not group.holding[worker.filed]:
                del group.holding[worker.filed], group.idle_with[worker.filed]
        if now is not None:
            group.holding[now] = group.holding.get(now, 0) + 1
            _file(group.idle_with.setdefault(now, {}), worker.number, not worker.held)
        worker.filed = now

    def last_for(self, worker: Worker, needed: list[int]) -> int:
        """A stage with tasks left (`needed`, by stage) that only this worker serves now, or -1."""
        own = worker.status == Status.UP
        for stage in worker.group.stages:
            if needed[stage] > 0 and self.up[stage] - own < 1:
                return stage
        return -1

    def _specialists(self, group: Group) -> dict[int, int]:
        found: dict[int, int] = {}
        for other in self.groups:
            if len(other.stages) < len(group.stages):
                for stage in set(other.stages) & set(group.stages):
                    found[stage] = found.get(stage, 0) + other.up
        return found

    def _bottlenecks(self) -> tuple[tuple[Numbers, int], ...]:
        serving = [group for group in self.groups if group.up]
        sets = bottleneck_sets(tuple(group.stages for group in serving))
        return tuple((stages, sum(serving[at].up for at in groups)) for stages, groups in sets)


def _file(where: dict[int, None], number: int, belongs: bool) -> None:
    if belongs:
        where[number] = None
    else:
        where.pop(number, None)


@lru_cache(maxsize=256)
def bottleneck_sets(
    groups: tuple[tuple[int, ...], ...],
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Stage sets whose work can bound the rest of a job, each with the groups (by position) that do any of
    it.

    Left out are sets that fall apart into sets with no group in common, and sets that another set with the
    same groups contains: neither is ever the tightest.
    """
    hosted = sorted({stage for stages in groups for stage in stages})
    found: dict[Numbers, Numbers] = {}
    for size in range(len(hosted), 0, -1):
        for stages in combinations(hosted, size):
            serving = tuple(at for at, own in enumerate(groups) if set(own) & set(stages))
            if serving not in found and _connected(stages, [groups[at] for at in serving]):
                found[serving] = stages
    return tuple((stages, serving) for serving, stages in found.items())


def _connected(stages: Numbers, groups: list[Numbers]) -> bool:
    reached, rest = {stages[0]}, set(stages[1:])
    grew = True
    while rest and grew:
        grew = False
        for group in groups:
            own = rest.intersection(group)
            if own and reached.intersection(group):
                reached |= own
                rest -= own
                grew = True
    return not rest

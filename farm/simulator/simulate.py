"""The real scheduler on virtual time: what a job will take, and what becomes of it when things break.

Virtual workers run what they are assigned, one task after the other. Their results, failures and deaths
become events at the times that durations, overheads and a fault plan give them. Equal inputs give equal
results, bar for bar.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from cluster.local.faults import Crash, Fail, Fate, Hang
from farm.scheduler import events
from farm.scheduler.commands import Assign, Command, Finish, Kill, PauseJob, Probe, Release
from farm.scheduler.config import INFINITE_S, SchedulerConfig
from farm.scheduler.core import Scheduler
from farm.scheduler.graph import STAGES, ScheduleGraph
from farm.simulator.gangs import usual_speed
from farm.simulator.timeline import SimulatedTimeline
from jobs.tasks.task import Stage
from jobs.tasks.topology import SHARED_STAGES

if TYPE_CHECKING:
    from farm.simulator.faults import Faults
    from jobs.tasks.topology import Topology

_WORKERS_PER_HOST = 8


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What costs time beside the stages, seconds.

    `handoff_s` passes between a decision and the arrival of the task, `commit_s` (by stage) while its result
    is written and its device may work on the next, `report_s` until the scheduler hears of it. `restart_s`
    passes from a probe or kill to a worker that can serve again. `speed` gives a worker's share of the usual
    speed by id, `gang_speed` by the number of its ranks how many times as fast as one device a gang is;
    `mend_s` is how long the user takes to resume a paused job.
    """

    handoff_s: float = 0.0
    commit_s: Mapping[Stage, float] = field(default_factory=dict)
    report_s: float = 0.0
    restart_s: float = 20.0
    mend_s: float = 60.0
    speed: Callable[[str], float] | None = None
    gang_speed: Callable[[int], float] = usual_speed
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)


@dataclass(eq=False, slots=True)
class VirtualWorker:
    """A worker process. `life` counts its incarnations: what an earlier one began is not this one's doing."""

    id: str
    number: int
    stages: frozenset[Stage]
    host: str
    speed: float = 1.0
    ranks: int = 1
    alive: bool = True
    life: int = 0
    resident: str = ""
    queue: deque[tuple[str, int]] = field(default_factory=deque)


class Simulation:
    """One run. `watch(now, event, commands)` sees every exchange; a fault plan decides what breaks."""

    def __init__(
        self,
        graph: ScheduleGraph,
        topology: Topology,
        config: SimulationConfig | None = None,
        faults: Faults | None = None,
        committed: Collection[str] = (),
    ) -> None:
        self.graph = graph
        self.topology = topology
        self.config = config or SimulationConfig()
        self.faults = faults
        self.scheduler = Scheduler(graph, self.config.scheduler, committed)
        self.workers = {worker.id: worker for worker in _enlist(topology, self.config)}
        self.timeline = SimulatedTimeline(graph, topology, list(self.workers))
        self.watch: Callable[[float, events.Event, list[Command]], None] | None = None
        self.now = 0.0
        self.events = 0
        self._pending: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = count()
        self._alarm_s = INFINITE_S

    def run(self) -> SimulatedTimeline:
        """Runs to the scheduler's `Finish`. Raises RuntimeError when nothing is left to happen before it."""
        for worker in self.workers.values():
            self._at(0.0, self._tell, self._ready(worker))
        while self._pending and self.scheduler.finished is None:
            self.now, _, act, values = heapq.heappop(self._pending)
            act(*values)
        if self.scheduler.finished is None:
            raise RuntimeError(
                f"deadlock at {self.now:.1f} s: {self.scheduler.board.tasks.left} tasks are left"
            )
        return self.timeline

    # -- the wires ---------------------------------------------------------------------------------------

    def _at(self, delay_s: float, act: Callable[..., None], *values: object) -> None:
        heapq.heappush(self._pending, (self.now + delay_s, next(self._sequence), act, values))

    def _send(self, event: events.Event) -> None:
        """A message to the scheduler; a fault plan may hold it up or send it twice."""
        delays = self.faults.deliveries(event) if self.faults else (0.0,)
        for delay_s in delays:
            self._at(self.config.report_s + delay_s, self._tell, event)

    def _tell(self, event: events.Event) -> None:
        self.events += 1
        commands = self.scheduler.handle(event, self.now)
        if self.watch is not None:
            self.watch(self.now, event, commands)
        for command in commands:
            self._carry_out(command)
        self._set_alarm()

    def _set_alarm(self) -> None:
        wake_s = self.scheduler.next_wake_s()
        if wake_s < self._alarm_s:
            self._alarm_s = wake_s
            self._at(max(0.0, wake_s - self.now), self._alarm)

    def _alarm(self) -> None:
        self._alarm_s = INFINITE_S
        if self.now >= self.scheduler.next_wake_s():
            self._tell(events.Tick())
        else:
            self._set_alarm()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Release():
                pass
            case Assign():
                self._assign(command)
            case Probe():
                self._restart(self.workers[command.worker])
            case Kill():
                self._die(self.workers[command.worker])
                self._restart(self.workers[command.worker])
            case PauseJob():
                self._at(self.config.mend_s, self._tell, events.Resume())
            case Finish():
                self.timeline.finish(self.now)

    # -- the workers -------------------------------------------------------------------------------------

    def _ready(self, worker: VirtualWorker) -> events.WorkerLoaded:
        return events.WorkerLoaded(worker.id, worker.stages, worker.host)

    def _assign(self, order: Assign) -> None:
        worker = self.workers[order.worker]
        if not self.config.handoff_s:
            self._arrive(worker, worker.life, order)
        else:
            self._at(self.config.handoff_s, self._arrive, worker, worker.life, order)

    def _arrive(self, worker: VirtualWorker, life: int, order: Assign) -> None:
        if worker.alive and worker.life == life:
            worker.queue.append((order.task, order.attempt))
            if len(worker.queue) == 1:
                self._start(worker)

    def _start(self, worker: VirtualWorker) -> None:
        task, attempt = worker.queue[0]
        number = self.graph.number[task]
        speed = worker.speed * self._gang_speed(worker, number)
        swap_s = self._swap_s(worker, number)
        self.timeline.change(swap_s)
        duration_s = self.graph.duration_s[number] / speed + swap_s
        fate = self.faults.fate(worker.id, task, attempt, duration_s) if self.faults else None
        if fate is None:
            self.timeline.add(worker.number, number, self.now, self.now + duration_s)
            self._at(duration_s, self._commit, worker, worker.life, task, attempt)
        else:
            self._meet(fate, worker, task, attempt)

    def _gang_speed(self, worker: VirtualWorker, number: int) -> float:
        """How many times as fast as one device the worker's ranks are together."""
        if worker.ranks == 1 or STAGES[self.graph.stage[number]] not in SHARED_STAGES:
            return 1.0
        return self.config.gang_speed(worker.ranks)

    def _swap_s(self, worker: VirtualWorker, number: int) -> float:
        swap_s = self.config.scheduler.swap_s
        if not swap_s:
            return 0.0
        model = self.graph.residents[self.graph.resident[number]]
        if not model:
            return 0.0
        held, worker.resident = worker.resident, model
        return 0.0 if held in ("", model) else swap_s.get(model, 0.0)

    def _commit(self, worker: VirtualWorker, life: int, task: str, attempt: int) -> None:
        """The device is done with the task; its result is being written."""
        stage = STAGES[self.graph.stage[self.graph.number[task]]]
        written_s = self.config.commit_s.get(stage, 0.0)
        after_s = written_s + self.config.report_s + self.config.handoff_s
        done = events.TaskDone(task, worker.id, attempt, after_s=after_s)
        self._at(written_s, self._committed, worker, life, done)
        self._next(worker, life)

    def _committed(self, worker: VirtualWorker, life: int, done: events.TaskDone) -> None:
        if worker.life == life:
            self._send(done)

    def _next(self, worker: VirtualWorker, life: int) -> None:
        if worker.life == life:
            worker.queue.popleft()
            if worker.queue:
                self._start(worker)

    # -- what breaks -------------------------------------------------------------------------------------

    def _meet(self, fate: Fate, worker: VirtualWorker, task: str, attempt: int) -> None:
        zombie = events.TaskDone(task, worker.id, attempt)
        match fate:
            case Fail():
                failed = events.AttemptFailed(
                    task, worker.id, attempt, fate.kind, fate.message, fate.output_digest, fate.lost_inputs
                )
                self._at(fate.after_s, self._fail, worker, worker.life, failed)
            case Crash():
                for victim in self._victims(worker, fate):
                    self._at(fate.after_s, self._crash, victim, victim.life, fate)
                if fate.zombie_s is not None:
                    self._at(fate.after_s + fate.zombie_s, self._send, zombie)
            case Hang():
                if fate.zombie_s is not None:
                    self._at(fate.zombie_s, self._send, zombie)

    def _fail(self, worker: VirtualWorker, life: int, failed: events.AttemptFailed) -> None:
        self._send(failed)
        self._next(worker, life)

    def _victims(self, worker: VirtualWorker, fate: Crash) -> list[VirtualWorker]:
        if not fate.whole_host:
            return [worker]
        return [other for other in self.workers.values() if other.host == worker.host]

    def _crash(self, worker: VirtualWorker, life: int, fate: Crash) -> None:
        if worker.life == life and worker.alive:
            self._die(worker)
            self._at(fate.noticed_s, self._send, events.WorkerDied(worker.id, fate.reason, kind=fate.kind))

    def _die(self, worker: VirtualWorker) -> None:
        worker.alive = False
        worker.life += 1
        worker.resident = ""
        worker.queue.clear()

    def _restart(self, worker: VirtualWorker) -> None:
        restarts = self.faults.restarts(worker.id) if self.faults else True
        self._at(self.config.restart_s, self._restarted, worker, restarts)

    def _restarted(self, worker: VirtualWorker, restarts: bool) -> None:
        if not restarts:
            self._send(events.WorkerDied(worker.id, "it did not start again"))
        else:
            worker.alive = True
            self._send(self._ready(worker))


def simulate(
    graph: ScheduleGraph,
    topology: Topology,
    config: SimulationConfig | None = None,
    committed: Collection[str] = (),
) -> SimulatedTimeline:
    """The job on this topology, with nothing going wrong. Start-up is not counted."""
    return Simulation(graph, topology, config, None, committed).run()


def _enlist(topology: Topology, config: SimulationConfig) -> list[VirtualWorker]:
    """Workers in pool order, eight to a host; half a GPU works at half the speed."""
    workers: list[VirtualWorker] = []
    for pool in topology.pools:
        for at in range(pool.count):
            number, name = len(workers), f"{pool.name}-{at}"
            speed = (config.speed(name) if config.speed else 1.0) * min(pool.gpus or 1.0, 1.0)
            host = f"host-{number // _WORKERS_PER_HOST}"
            workers.append(VirtualWorker(name, number, pool.stages, host, speed, pool.ranks))
    return workers

"""The real scheduler under random crashes, hangs, lost nodes, slow workers, late and duplicate messages.

A referee keeps its own books from the messages alone and objects to the first command that breaks a promise.
Every schedule is a function of its seed: `run_schedule(seed)` replays it.
"""

from __future__ import annotations

import random
import string
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from farm.scheduler import commands, events
from farm.scheduler.commands import Outcome
from farm.scheduler.config import HangConfig, RestConfig, SchedulerConfig
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.scheduler.reasons import Reason, Why
from farm.scheduler.roster import Status
from farm.simulator.simulate import Simulation, SimulationConfig
from farm.simulator.workload import SimulatedFilm, StageTimes, job
from jobs.errors import FailureKind
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.simulator.random_faults import FaultRates, RandomFaults

if TYPE_CHECKING:
    from jobs.frames import Joint

TOPOLOGIES = (
    "mono=1",
    "mono=2",
    "mono=4",
    "sample=1,upscale=1,decode=1",
    "sample=2,upscale=1,decode=1",
    "sample=2,upscale+decode=2",
    "sample+upscale=2,decode=1",
    "mono=1,sample=1,decode=1",
)
MOST_EVENTS = 5000
JOINTS: tuple[Joint, ...] = ("overlap", "still", "none")
ELSEWHERE = (FailureKind.BAD_OUTPUT, FailureKind.BUG)
EXACT_ON_ONE_WORKER = 3
"""Rungs of the ladder before another worker is tried."""

HANG = HangConfig(factor=4.0, floor_s=30.0, first_s=120.0)


class Referee:
    """Follows one run. `needs` and `stages` are its own copies of the job, by task id."""

    def __init__(self, tasks: list[ScheduledTask], simulation: Simulation, budgeted: bool) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.simulation = simulation
        self.budgeted = budgeted
        self.committed: set[str] = set()
        self.held: dict[str, tuple[str, int]] = {}
        self.attempts: dict[str, int] = {}
        self.failed_on: set[tuple[str, str]] = set()
        self.memory_failures: dict[str, list[str]] = {}
        self.quarantined: set[str] = set()
        self.up: set[str] = set()
        self.finish: commands.Finish | None = None
        self.exchanges = 0

    def watch(self, now: float, event: events.Event, orders: list[commands.Command]) -> None:
        self.exchanges += 1
        assert self.exchanges < MOST_EVENTS, "the run goes round in circles"
        assert self.finish is None or not orders, "a command after Finish"
        self._hear(event)
        for order in orders:
            self._check(order)
        if self.finish is None:
            self._check_idle()

    def _hear(self, event: events.Event) -> None:
        match event:
            case events.TaskDone() if self._holds(event):
                assert event.task not in self.committed, "committed twice"
                del self.held[event.task]
                self.committed.add(event.task)
            case events.AttemptFailed() if self._holds(event):
                del self.held[event.task]
                self._remember(event)
                self.committed.difference_update(event.lost_inputs)
            case events.WorkerLoaded():
                self.up.add(event.worker)
            case events.WorkerDied():
                self._strip(event.worker, event.kind)

    def _remember(self, failed: events.AttemptFailed) -> None:
        """Where the failed task may be kept from: the table sends it elsewhere."""
        if failed.lost_inputs:
            return
        if failed.kind in ELSEWHERE:
            self.failed_on.add((failed.task, failed.worker))
        if failed.kind is FailureKind.OOM:
            self._ran_out_of_memory(failed.task, failed.worker)

    def _ran_out_of_memory(self, task: str, worker: str) -> None:
        workers = self.memory_failures.setdefault(task, [])
        workers.append(worker)
        if len(workers) > EXACT_ON_ONE_WORKER:
            self.failed_on.update((task, each) for each in workers)

    def _holds(self, event: events.TaskDone | events.AttemptFailed) -> bool:
        return self.held.get(event.task) == (event.worker, event.attempt)

    def _strip(self, worker: str, kind: FailureKind = FailureKind.WORKER_LOST) -> None:
        if self.simulation.scheduler.board.roster.by_id[worker].status is Status.UP:
            return  # a message that came twice: the worker serves again
        taken = [task for task, (holder, _) in self.held.items() if holder == worker]
        for task in taken:
            del self.held[task]
        for task in taken[:1] if kind is FailureKind.OOM else ():
            self._ran_out_of_memory(task, worker)

    def _check(self, order: commands.Command) -> None:
        match order:
            case commands.Assign():
                self._check_assign(order)
            case commands.Kill():
                self._strip(order.worker)
            case commands.Suspend() | commands.Probe():
                self.up.discard(order.worker)
            case commands.Quarantine():
                assert order.task not in self.committed
                self.quarantined.add(order.task)
            case commands.Finish():
                self.finish = order
        if not isinstance(order, commands.Release):
            assert str(order.reason)

    def _check_assign(self, order: commands.Assign) -> None:
        task, worker = self.tasks[order.task], self.simulation.workers[order.worker]
        assert order.task not in self.committed, "rendered twice"
        assert order.task not in self.held, "two workers at once"
        assert self.committed.issuperset(task.needs), "started before its needs"
        assert task.stage in worker.stages, "a worker that cannot"
        assert order.attempt > self.attempts.get(order.task, 0), "an attempt number used twice"
        assert self.simulation.scheduler.board.roster.by_id[order.worker].status is Status.UP
        self.attempts[order.task] = order.attempt
        self.held[order.task] = (order.worker, order.attempt)

    def _check_idle(self) -> None:
        """No worker idles while there is a ready task that it could serve."""
        scheduler = self.simulation.scheduler
        busy = {worker for worker, _ in self.held.values()}
        idle = [w for w in scheduler.board.roster.workers if w.status is Status.UP and w.id not in busy]
        if not idle or scheduler.paused is not None or self.budgeted:
            return
        for task in self._ready():
            for worker in idle:
                if task.stage in self.simulation.workers[worker.id].stages:
                    assert (task.id, worker.id) in self.failed_on, f"{worker.id} idles, {task.id} is ready"

    def _ready(self) -> Iterator[ScheduledTask]:
        for task in self.tasks.values():
            if task.id in self.committed or task.id in self.held or task.id in self.quarantined:
                continue
            if self.committed.issuperset(task.needs):
                yield task

    def check_end(self) -> None:
        assert self.finish is not None, "no Finish"
        lost = self._behind_quarantined()
        missing = set(self.tasks) - self.committed - lost
        if self.finish.outcome is Outcome.DONE:
            assert not missing
            assert not lost
        elif missing:
            self._check_deserted(missing)
        assert not self.held or missing

    def _check_deserted(self, missing: set[str]) -> None:
        """The job may only end early when no worker is left for any task that may start."""
        roster = self.simulation.scheduler.board.roster
        serving = [w for w in roster.workers if w.status is not Status.RETIRED]
        stages = {stage for worker in serving for stage in self.simulation.workers[worker.id].stages}
        ready = {task.stage for task in self._ready() if task.id in missing}
        served = ready & stages
        assert not served or (self.budgeted and ready - stages), "a task was lost"

    def _behind_quarantined(self) -> set[str]:
        lost = set(self.quarantined) - self.committed
        for task in self.tasks.values():
            if lost.intersection(task.needs) and task.id not in self.committed:
                lost.add(task.id)
        return lost


def make_schedule(seed: int) -> tuple[Simulation, Referee]:
    dice = random.Random(seed)
    times = StageTimes(4.0, dice.choice((0.0, 1.0)), 2.0, dice.choice((0.0, 0.5)), dice.choice((0.0, 0.2)))
    shape = dice.choice(((1, 5), (2, 3), (3, 2), (5, 1)))
    chained, joint = dice.random() < 0.8, dice.choice(JOINTS)
    films = [
        SimulatedFilm(f"v{v}", dice.randint(1, shape[1]), times, chained, joint, 1000)
        for v in range(shape[0])
    ]
    tasks = list(job(films))
    budget = dice.choice((None, None, 1500))
    rest = RestConfig(base_s=2.0, most_s=30.0, retire_after=dice.choice((3, 8)), probe_s=60.0)
    scheduler = SchedulerConfig(budget_bytes=budget, hang=HANG, rest=rest)
    speeds = dice.choice(((1.0,), (1.0, 0.3), (1.0, 0.05)))
    overhead_s = dice.choice((0.0, 0.01))
    config = SimulationConfig(
        handoff_s=overhead_s,
        commit_s=dict.fromkeys(Stage, overhead_s),
        report_s=overhead_s,
        restart_s=5.0,
        speed=lambda name: speeds[hash_of(name) % len(speeds)],
        scheduler=scheduler,
    )
    topology = parse_topology(dice.choice(TOPOLOGIES), Machine(gpus=8, segment_workers=2))
    rates = FaultRates().scaled(dice.choice((0.0, 1.0, 1.0, 3.0, 8.0)))
    faults = RandomFaults(seed, rates, {task.id: task.needs for task in tasks})
    simulation = Simulation(ScheduleGraph(tasks), topology, config, faults)
    referee = Referee(tasks, simulation, budget is not None)
    simulation.watch = referee.watch
    return simulation, referee


def hash_of(name: str) -> int:
    return sum(name.encode())


def run_schedule(seed: int) -> tuple[Outcome, int]:
    simulation, referee = make_schedule(seed)
    try:
        simulation.run()
        referee.check_end()
    except (AssertionError, RuntimeError, KeyError, IndexError, ValueError) as broken:
        raise AssertionError(f"run_schedule({seed}): {broken!r}") from broken
    assert referee.finish is not None
    return referee.finish.outcome, referee.exchanges


def run_many(count: int) -> tuple[dict[Outcome, int], int, float]:
    outcomes: dict[Outcome, int] = {}
    exchanges, start_s = 0, time.process_time()
    for seed in range(count):
        outcome, told = run_schedule(seed)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        exchanges += told
    return outcomes, exchanges, time.process_time() - start_s


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_random_fault_schedules(count: int) -> None:
    outcomes, exchanges, seconds = run_many(count)
    print(f"{count} schedules, {exchanges} events, {seconds:.1f} s: {outcomes}")
    assert {Outcome.DONE, Outcome.PARTIAL, Outcome.FAILED} <= set(outcomes)


@pytest.mark.slow
def test_twenty_thousand_random_fault_schedules_within_a_minute_on_one_core() -> None:
    outcomes, exchanges, seconds = run_many(20_000)
    print(f"20000 schedules, {exchanges} events, {seconds:.1f} s of one core: {outcomes}")
    assert seconds < 60


def test_every_decision_says_why_in_a_whole_sentence() -> None:
    seen: dict[Why, Reason] = {}
    for seed in range(300):
        simulation, _ = make_schedule(seed)

        def watch(_now: float, _event: events.Event, orders: list[commands.Command]) -> None:
            found = [order.reason for order in orders if not isinstance(order, commands.Release)]
            seen.update({reason.why: reason for reason in found})

        simulation.watch = watch
        simulation.run()
    assert seen.keys() >= set(Why) - {Why.RESIDENT, Why.BY_USER, Why.LEAVING}
    for why, reason in seen.items():
        places = {name for _, name, _, _ in string.Formatter().parse(why.value) if name is not None}
        assert len(reason.values) == len(places), why


@pytest.mark.parametrize("seed", [3, 77, 1234])
def test_a_seed_replays_exactly(seed: int) -> None:
    def log() -> list[str]:
        simulation, referee = make_schedule(seed)
        lines: list[str] = []

        def watch(now: float, event: events.Event, orders: list[commands.Command]) -> None:
            lines.append(f"{now!r} {event!r} {orders!r}")
            referee.watch(now, event, orders)

        simulation.watch = watch
        simulation.run()
        return lines

    assert log() == log()

"""The real scheduler under random crashes, hangs, lost nodes, slow workers, late and duplicate messages.

A referee keeps its own books from the messages alone and objects to the first command that breaks a promise.
Every schedule is a function of its seed: `run_schedule(seed)` replays it.
"""

from __future__ import annotations

import random
import string
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.scheduler import commands, events
from farm.scheduler.commands import Outcome
from farm.scheduler.config import HangConfig, RestConfig, SchedulerConfig
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.scheduler.reasons import Reason, Why
from farm.simulator.simulate import Simulation, SimulationConfig
from farm.simulator.workload import SimulatedFilm, StageTimes, job
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.simulator.random_faults import FaultRates, RandomFaults
from tests.farm.simulator.referee import Referee

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
JOINTS: tuple[Joint, ...] = ("overlap", "still", "none")
MODELS = ("one", "other", "second pass")
HANG = HangConfig(factor=4.0, floor_s=30.0, first_s=120.0)


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
    speeds = dice.choice(((1.0,), (1.0, 0.3), (1.0, 0.05)))
    overhead_s = dice.choice((0.0, 0.01))
    config = SimulationConfig(
        handoff_s=overhead_s,
        commit_s=dict.fromkeys(Stage, overhead_s),
        report_s=overhead_s,
        restart_s=5.0,
        speed=lambda name: speeds[hash_of(name) % len(speeds)],
    )
    topology = parse_topology(dice.choice(TOPOLOGIES), Machine(gpus=8, segment_workers=2))
    rates = FaultRates().scaled(dice.choice((0.0, 1.0, 1.0, 3.0, 8.0)))
    faults = RandomFaults(seed, rates, {task.id: task.needs for task in tasks})
    swap_s = dict.fromkeys(MODELS, dice.choice((1.0, 6.0, 60.0))) if dice.random() < 0.3 else {}
    tasks = [replace(task, resident=model_of(task)) for task in tasks] if swap_s else tasks
    first = dice.random() < 0.3
    scheduler = SchedulerConfig(budget_bytes=budget, hang=HANG, rest=rest, swap_s=swap_s, prompts_first=first)
    config = replace(config, scheduler=scheduler)
    simulation = Simulation(ScheduleGraph(tasks), topology, config, faults)
    referee = Referee(tasks, simulation, budget is not None)
    simulation.watch = referee.watch
    return simulation, referee


def model_of(task: ScheduledTask) -> str:
    """A LoRA in every other film, and one of the second pass."""
    if task.stage is Stage.UPSCALE:
        return MODELS[2]
    return MODELS[hash_of(task.video) % 2] if task.stage is Stage.SAMPLE else ""


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
    assert seen.keys() >= set(Why) - {Why.BY_USER, Why.LEAVING}
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

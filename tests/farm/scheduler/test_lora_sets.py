"""Shots of several sets of LoRAs: workers stay with the set that they hold, as long as it costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.scheduler.config import HangConfig, SchedulerConfig
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.scheduler.reasons import Why
from farm.simulator.simulate import Simulation, SimulationConfig
from farm.simulator.workload import H200, SimulatedFilm
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology
from tests.scheduler_calls import calls_per_event

if TYPE_CHECKING:
    from farm.scheduler.commands import Command
    from farm.scheduler.events import Event
    from farm.simulator.timeline import SimulatedTimeline

SHOTS, CHUNKS = 12, 10
MERGE_S = 38e9 / 2**30 / 4.0
"""LTX-2.3 at the rate that was measured with 13B (docs/gpu.md)."""
FRAME_BYTES = 97 * 1536 * 1024 * 3
PASSES = {Stage.SAMPLE: " sample", Stage.UPSCALE: " upscale"}


def film(
    sets: int, by_pass: bool = False, shots: int = SHOTS, chunks: int = CHUNKS
) -> Iterator[ScheduledTask]:
    """Shots of one film, whose sets take turns."""
    for shot in range(shots):
        alone = SimulatedFilm(f"s{shot:04d}", chunks, H200["LTX-2"], joint="overlap", frame_bytes=FRAME_BYTES)
        for task in alone.tasks():
            model = (
                f"set {shot % sets}{PASSES[task.stage] if by_pass else ''}" if task.stage in PASSES else ""
            )
            yield replace(task, video="film", chunk=task.chunk + shot * chunks, resident=model)


def simulation(tasks: list[ScheduledTask], gpus: int, merge_s: float = MERGE_S) -> Simulation:
    swap_s = dict.fromkeys((task.resident for task in tasks if task.resident), merge_s)
    config = SimulationConfig(scheduler=SchedulerConfig(swap_s=swap_s if merge_s else {}))
    topology = parse_topology(f"mono={gpus}", Machine(gpus))
    return Simulation(ScheduleGraph(tasks), topology, config)


def with_and_without(tasks: list[ScheduledTask], gpus: int) -> tuple[SimulatedTimeline, float]:
    """What the film takes, and how much of that merging costs: the share by which it takes longer."""
    timeline, free = simulation(tasks, gpus).run(), simulation(tasks, gpus, 0.0).run()
    cost = timeline.makespan_s / free.makespan_s - 1
    print(f"{gpus} GPUs: {timeline.changes} changes, {timeline.makespan_s:.0f} s, {cost:.2%} more")
    return timeline, cost


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_three_sets_cost_under_two_percent(gpus: int) -> None:
    """Twelve shots of half a minute. On one GPU, no order has fewer than two changes."""
    timeline, cost = with_and_without(list(film(3)), gpus)
    assert timeline.changes == 2
    assert timeline.changing_s == pytest.approx(2 * MERGE_S)
    assert cost < 0.02


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_sets_with_strengths_by_pass(gpus: int) -> None:
    """Six states of the weights: five changes at least on one GPU, on which first passes run ahead of the
    byte budget."""
    timeline, cost = with_and_without(list(film(3, by_pass=True)), gpus)
    assert timeline.changes <= 6
    assert cost < 0.02


def test_passes_with_other_strengths_in_one_set() -> None:
    """As the dev recipes of LTX-2 have them, with the bytes of real frames."""
    timeline, cost = with_and_without(list(film(1, by_pass=True)), 1)
    assert timeline.changes == 1
    assert cost < 0.01


def test_an_idle_worker_leaves_the_rest_of_a_set_to_the_one_that_holds_it() -> None:
    """Loading takes longer than what is left of it."""
    tasks = [
        ScheduledTask(f"{name}{at}", Stage.SAMPLE, video="v", duration_s=10.0, resident=name)
        for name, count in (("one", 4), ("other", 3))
        for at in range(count)
    ]
    run = simulation(tasks, 2, merge_s=15.0)
    assert (run.run().makespan_s, run.timeline.changes) == (40.0, 0)
    many = simulation([*tasks, *(replace(tasks[0], id=f"more{at}") for at in range(8))], 2, merge_s=15.0)
    assert many.run().makespan_s < 40.0 + 80.0
    assert many.timeline.changes


def test_a_task_that_waits_for_a_change_does_not_hang(desk: Callable[..., Any]) -> None:
    tasks = [
        ScheduledTask(name, Stage.SAMPLE, video="v", duration_s=10.0, resident=name[:3])
        for name in ("one a", "one b", "two")
    ]
    hang = HangConfig(factor=3.0, floor_s=5.0, first_s=5.0)
    told = desk(tasks, swap_s={"one": 20.0, "two": 20.0}, hang=hang)
    told.worker("w", Stage.SAMPLE)
    (worker,) = told.scheduler.board.roster.workers
    allowed = [worker.deadline_s - told.now]
    for task in ("one a", "one b"):
        told.done(task, 10.0)
        allowed.append(worker.deadline_s - told.now)
    assert allowed == [3 * 30.0, 3 * 10.0, 3 * 30.0]


def test_a_change_says_what_it_costs_and_why() -> None:
    run = simulation(list(film(3, chunks=2)), 1)
    reasons: list[str] = []

    def watch(_now: float, _event: Event, orders: list[Command]) -> None:
        reasons.extend(str(r) for o in orders if (r := getattr(o, "reason", None)) and r.why is Why.CHANGE)

    run.watch = watch
    run.run()
    assert "the worker loads set 1 in 8.8 s" in reasons[1]
    assert "workers that hold it: 0" in reasons[1]


def calls(shots: int, sets: int) -> float:
    return calls_per_event(simulation(list(film(sets, shots=shots, chunks=5)), 16))


def test_an_event_costs_the_same_with_ten_times_the_shots() -> None:
    short, long = calls(40, 3), calls(400, 3)
    print(f"calls per event: {short:.0f} of 40 shots, {long:.0f} of 400")
    assert long <= 1.1 * short


def test_an_event_costs_little_more_with_a_set_for_each_shot() -> None:
    few, many = calls(400, 3), calls(400, 400)
    print(f"calls per event: {few:.0f} with 3 sets, {many:.0f} with 400")
    assert many <= 3 * few

"""The byte budget: what is made and not delivered stays bounded, and nothing that must go on waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from farm.scheduler import events
from farm.scheduler.config import SchedulerConfig, scheduler_config
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.simulator.simulate import Simulation, SimulationConfig
from farm.simulator.workload import SimulatedFilm, StageTimes, films, job
from farm.topology.bound import job_facts
from jobs.errors import FailureKind
from jobs.spec.run import Run
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology

FRAMES = 1000
SLOW_DECODE = StageTimes(1.0, 0.0, 5.0)
SLOW_SEGMENT = StageTimes(1.0, 0.0, 1.0, segment_s=8.0)
CHUNK = FRAMES + FRAMES // 100


def peak_bytes(some: list[SimulatedFilm], text: str, budget: int | None) -> tuple[float, float]:
    """The most payload bytes that were committed and not read by all their readers; and the makespan."""
    graph = ScheduleGraph(job(some))
    config = SimulationConfig(scheduler=SchedulerConfig(budget_bytes=budget))
    simulation = Simulation(graph, parse_topology(text, Machine(100, 2)), config)
    held, peak = 0, 0

    def watch(_now: float, event: events.Event, orders: list[Any]) -> None:
        nonlocal held, peak
        if isinstance(event, events.TaskDone):
            number = graph.number[event.task]
            held += graph.payload_bytes[number] if len(graph.dependents[number]) else 0
        for order in orders:
            if type(order).__name__ == "Release":
                held -= graph.payload_bytes[graph.number[order.task]]
        peak = max(peak, held)

    simulation.watch = watch
    makespan_s = simulation.run().makespan_s
    return peak, makespan_s


@pytest.mark.parametrize("shape", [(60, 1), (4, 15)], ids=str)
def test_the_budget_bounds_what_is_undelivered(shape: tuple[int, int]) -> None:
    some = films(shape[0], SimulatedFilm("v", shape[1], SLOW_SEGMENT, frame_bytes=FRAMES))
    budget = 6 * CHUNK
    free, fast_s = peak_bytes(some, "sample=4,decode=4", 10**12)
    bounded, slow_s = peak_bytes(some, "sample=4,decode=4", budget)
    assert free > 4 * budget
    assert bounded <= budget + shape[1] * CHUNK if shape[1] > 1 else bounded <= budget
    assert slow_s <= 1.02 * fast_s, "the bottleneck is elsewhere, and never waits"


def test_without_a_number_the_budget_grows_with_the_workers() -> None:
    some = films(200, SimulatedFilm("v", 1, SLOW_SEGMENT, frame_bytes=FRAMES))
    few, _ = peak_bytes(some, "sample=1,decode=1", None)
    many, _ = peak_bytes(some, "sample=8,decode=8", None)
    assert few <= 4 * 4 * CHUNK
    assert few < many <= 4 * 18 * CHUNK


def test_what_a_spec_leaves_out_holds_up_no_cluster() -> None:
    """64 GPUs on chunks of half a gigabyte, with the defaults of a spec."""
    tasks = list(
        job(
            films(
                128,
                SimulatedFilm("v", 4, StageTimes(10.0, 12.0, 1.4), joint="overlap", frame_bytes=450 * 10**6),
            )
        )
    )
    topology = parse_topology("mono=64", Machine(64, 16))
    config = SimulationConfig(scheduler=scheduler_config(Run()))
    makespan_s = Simulation(ScheduleGraph(tasks), topology, config).run().makespan_s
    assert makespan_s <= 1.05 * job_facts(tasks).bound(topology).seconds


def test_a_chunk_larger_than_the_budget_still_runs() -> None:
    some = films(3, SimulatedFilm("v", 3, SLOW_DECODE, frame_bytes=FRAMES))
    _, makespan_s = peak_bytes(some, "sample=1,decode=1", 1)
    assert makespan_s > 0


def test_a_begun_video_goes_on_past_the_budget(desk: Callable[..., Any]) -> None:
    told = desk(job(films(3, SimulatedFilm("v", 3, SLOW_DECODE, frame_bytes=FRAMES))), budget_bytes=CHUNK)
    told.worker("s", Stage.SAMPLE)
    told.worker("t", Stage.SAMPLE)
    assert set(told.running) == {"v0/00000/sample"}, "the second video waits for room"
    told.worker("d", Stage.DECODE)
    told.done("v0/00000/sample")
    assert set(told.running) == {"v0/00000/decode"}
    told.done("v0/00000/decode")
    assert "v0/00001/sample" in told.running


def test_the_oldest_chunk_of_a_video_goes_on_though_a_later_one_began_it(desk: Callable[..., Any]) -> None:
    sizes = {"u/0": ("u", 0, 9.0), "v/0": ("v", 0, 1.0), "v/1": ("v", 1, 5.0)}
    told = desk(
        [ScheduledTask(name, Stage.SAMPLE, (), v, c, 10, took_s) for name, (v, c, took_s) in sizes.items()],
        budget_bytes=25,
    )
    for name in ("a", "b"):
        told.worker(name, Stage.SAMPLE)
    assert set(told.running) == {"u/0", "v/1"}
    told.worker("c", Stage.SAMPLE)
    assert told.running["v/0"].worker == "c"


def test_the_bytes_of_a_chunk_that_is_rendered_again_count_once(desk: Callable[..., Any]) -> None:
    told = desk(
        SimulatedFilm("v", 2, StageTimes(1.0, 0.0, 1.0), frame_bytes=FRAMES).tasks(), budget_bytes=CHUNK
    )
    admission = told.scheduler.board.admission
    told.worker("s", Stage.SAMPLE)
    told.worker("d", Stage.DECODE)
    told.done("v/00000/sample")
    told.done("v/00000/decode")
    told.failed("v/00001/sample", FailureKind.STORAGE, lost_inputs=("v/00000/sample",))
    assert admission.held_bytes == 2 * CHUNK
    for task in ("v/00000/sample", "v/00001/sample", "v/00001/decode"):
        told.done(task)
    assert admission.held_bytes == 0


def test_measured_sizes_replace_estimates(desk: Callable[..., Any]) -> None:
    told = desk(
        job(films(4, SimulatedFilm("v", 1, SLOW_SEGMENT, frame_bytes=FRAMES))), budget_bytes=2 * CHUNK
    )
    told.worker("s", Stage.SAMPLE)
    told.worker("d", Stage.DECODE)
    admission = told.scheduler.board.admission
    told.done("v0/00000/sample")
    before = admission.held_bytes
    order = told.running["v0/00000/decode"]
    told.tell(events.TaskDone(order.task, order.worker, order.attempt, payload_bytes=FRAMES // 2))
    assert before - admission.held_bytes == FRAMES // 2


def test_a_resumed_job_counts_what_an_earlier_run_made(desk: Callable[..., Any]) -> None:
    some = films(3, SimulatedFilm("v", 1, SLOW_DECODE, frame_bytes=FRAMES))
    told = desk(job(some), committed=["v1/00000/sample"], budget_bytes=CHUNK)
    assert told.scheduler.board.admission.held_bytes == CHUNK


def test_all_bytes_are_given_back_at_the_end() -> None:
    graph = ScheduleGraph(
        job(films(7, SimulatedFilm("v", 4, SLOW_SEGMENT, joint="overlap", frame_bytes=FRAMES)))
    )
    simulation = Simulation(graph, parse_topology("mono=3", Machine(3)))
    simulation.run()
    assert simulation.scheduler.board.admission.held_bytes == 0

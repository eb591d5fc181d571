"""The simulator: what it measures, and that it repeats itself."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from farm.scheduler.graph import ScheduleGraph
from farm.simulator.gangs import usual_speed
from farm.simulator.simulate import Simulation, SimulationConfig, simulate
from farm.simulator.workload import H200, SLEEPS, SimulatedFilm, StageTimes, films, job
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.simulator.random_faults import FaultRates, RandomFaults

STAGED = parse_topology("sample=2,upscale=1,decode=1", Machine(4))
CHAINS = films(4, SimulatedFilm("v", 8, SLEEPS))


def test_a_timeline_tells_bars_utilisation_critical_path_and_cost() -> None:
    timeline = simulate(ScheduleGraph(job(CHAINS)), STAGED)
    bars = list(timeline.bars())
    assert len(bars) == 96
    assert timeline.makespan_s == pytest.approx(max(bar.stop_s for bar in bars)) == pytest.approx(6.9)
    busy = timeline.utilisation()
    assert busy["decode-0"] == pytest.approx(6.4 / 6.9)
    assert busy["upscale-0"] == pytest.approx(3.2 / 6.9)
    assert timeline.gpu_hours == pytest.approx(4 * 6.9 / 3600)
    assert timeline.cost(2.5) == pytest.approx(2.5 * timeline.gpu_hours)


def test_one_worker_runs_one_task_at_a_time() -> None:
    timeline = simulate(ScheduleGraph(job(CHAINS)), STAGED)
    free: dict[str, float] = {}
    for bar in timeline.bars():
        assert bar.start_s >= free.get(bar.worker, 0.0) - 1e-9
        free[bar.worker] = bar.stop_s


def test_equal_inputs_give_equal_bars() -> None:
    first = list(simulate(ScheduleGraph(job(CHAINS)), STAGED).bars())
    assert first == list(simulate(ScheduleGraph(job(CHAINS)), STAGED).bars())


def test_overheads_add_up_on_a_chain() -> None:
    """Each sample of a chain waits for hand-off, commit and report of the one before it."""
    config = SimulationConfig(handoff_s=0.01, commit_s={Stage.SAMPLE: 0.02}, report_s=0.03)
    graph = ScheduleGraph(job([SimulatedFilm("v", 10, StageTimes(1.0, 0.0, 0.5))]))
    makespan_s = simulate(graph, parse_topology("sample=1,decode=1", Machine(2)), config).makespan_s
    assert makespan_s == pytest.approx(10 * 1.06 + 0.5 + 0.01 + 0.03)


def test_results_are_written_while_the_device_works_on() -> None:
    config = SimulationConfig(commit_s={Stage.DECODE: 0.5})
    graph = ScheduleGraph(job(films(20, SimulatedFilm("v", 1, StageTimes(0.1, 0.0, 1.0)))))
    makespan_s = simulate(graph, parse_topology("sample=1,decode=1", Machine(2)), config).makespan_s
    assert makespan_s == pytest.approx(0.1 + 20.0 + 0.5)


def test_slow_workers_and_shares_of_a_gpu() -> None:
    graph = ScheduleGraph(job(films(10, SimulatedFilm("v", 1, StageTimes(1.0, 0.0, 0.1)))))
    slow = SimulationConfig(speed=lambda worker: 0.5 if worker == "mono-0" else 1.0)
    one = parse_topology("mono=1", Machine(1))
    assert simulate(graph, one, slow).makespan_s == pytest.approx(22.0)
    assert simulate(graph, parse_topology("mono=1@0.5", Machine(1))).makespan_s == pytest.approx(22.0)


def test_a_gang_is_faster_where_its_ranks_share_the_steps() -> None:
    graph = ScheduleGraph(job([SimulatedFilm("v", 10, StageTimes(1.0, 1.0, 0.5), joint="overlap")]))
    gangs = parse_topology("sample=1x4,upscale=1x2,decode=1", Machine(7))
    given = SimulationConfig(gang_speed={2: 1.6, 4: 2.5}.__getitem__)
    assert simulate(graph, gangs, given).makespan_s == pytest.approx(10 / 1.6 + 1 / 2.5 + 0.5)
    assert simulate(graph, gangs).gpu_hours == pytest.approx(7 * (10 / 2**0.8 + 1 / 4**0.8 + 0.5) / 3600)


@pytest.mark.parametrize(("ranks", "speed"), [(1, 1.0), (2, 1.8), (4, 3.0), (8, 5.2)])
def test_what_a_gang_is_taken_to_gain(ranks: int, speed: float) -> None:
    assert usual_speed(ranks) == pytest.approx(speed, abs=0.1)


def test_what_is_committed_takes_no_time() -> None:
    tasks = list(job([SimulatedFilm("v", 4, SLEEPS)]))
    samples = [task.id for task in tasks if task.stage is Stage.SAMPLE]
    timeline = simulate(ScheduleGraph(tasks), STAGED, None, samples)
    assert timeline.makespan_s == pytest.approx(0.1 + 4 * 0.2)


def test_failure_rates_cost_what_is_rendered_again() -> None:
    """One worker in ten tasks dies: everything is made all the same, and takes longer; equal seeds agree."""
    tasks = list(job(films(8, SimulatedFilm("v", 6, StageTimes(10.0, 12.0, 1.4), joint="overlap"))))
    graph, topology = ScheduleGraph(tasks), parse_topology("mono=8", Machine(8))
    only_crashes = replace(FaultRates().scaled(0.0), crash=0.1)
    needs = {task.id: task.needs for task in tasks}

    def makespan_s(rates: FaultRates, seed: int) -> float:
        timeline = Simulation(graph, topology, None, RandomFaults(seed, rates, needs)).run()
        assert len({bar.task for bar in timeline.bars()}) == len(tasks)
        return timeline.makespan_s

    sound_s = simulate(graph, topology).makespan_s
    assert makespan_s(FaultRates().scaled(0.0), 1) == sound_s
    broken = [makespan_s(only_crashes, seed) for seed in range(5)]
    assert broken == [makespan_s(only_crashes, seed) for seed in range(5)]
    assert all(1.05 * sound_s < seconds < 3.0 * sound_s for seconds in broken)


def test_a_day_of_film_simulates_in_seconds() -> None:
    tasks = job(films(50, SimulatedFilm("v", 40, H200["LTXV 2B"], joint="overlap")))
    simulation = Simulation(ScheduleGraph(tasks), parse_topology("mono=64", Machine(64)))
    start_s = time.process_time()
    simulation.run()
    assert time.process_time() - start_s < 5.0


@pytest.mark.slow
def test_a_hundred_thousand_chunks_on_512_workers_within_a_minute_on_one_core() -> None:
    times = StageTimes(2.0, 3.2, 1.4, segment_s=0.6)
    start_s = time.process_time()
    graph = ScheduleGraph(job(films(1000, SimulatedFilm("v", 100, times, frame_bytes=4 * 10**8))))
    built_s = time.process_time() - start_s
    Simulation(graph, parse_topology("mono=448", Machine(448, segment_workers=64))).run()
    seconds = time.process_time() - start_s
    print(f"{len(graph)} tasks: {built_s:.1f} s to build, {seconds:.1f} s in all")
    assert seconds < 60

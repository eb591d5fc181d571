"""An event costs the same in a long job as in a short one."""

from __future__ import annotations

import pytest

from benchmarks.scheduler_cost import TIMES
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import Simulation
from farm.simulator.workload import SimulatedFilm, films, job
from jobs.tasks.topology import Machine, parse_topology
from tests.scheduler_calls import calls_per_event


def calls(chunks: int) -> float:
    some = films(chunks // 50, SimulatedFilm("film", 50, TIMES, joint="overlap", frame_bytes=10**6))
    return calls_per_event(Simulation(ScheduleGraph(job(some)), parse_topology("mono=16", Machine(16, 2))))


@pytest.mark.long
def test_an_event_costs_the_same_with_ten_times_the_chunks() -> None:
    # Shorter jobs have fewer of the events that queue a task ahead: a job ends without.
    short, long = calls(1_000), calls(10_000)
    print(f"calls per event: {short:.1f} of 1,000 chunks, {long:.1f} of 10,000")
    assert long <= 1.05 * short

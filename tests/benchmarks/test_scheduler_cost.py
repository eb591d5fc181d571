"""An event costs the same in a long job as in a short one."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from benchmarks.scheduler_cost import TIMES
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import Simulation
from farm.simulator.workload import SimulatedFilm, films, job
from jobs.tasks.topology import Machine, parse_topology

if TYPE_CHECKING:
    from farm.scheduler.commands import Command
    from farm.scheduler.events import Event


def calls_per_event(chunks: int) -> float:
    """Function calls inside the scheduler: unlike seconds, the same on every machine."""
    some = films(chunks // 50, SimulatedFilm("film", 50, TIMES, joint="overlap", frame_bytes=10**6))
    simulation = Simulation(ScheduleGraph(job(some)), parse_topology("mono=16", Machine(16, 2)))
    handle, calls = simulation.scheduler.handle, 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def counted(event: Event, now: float) -> list[Command]:
        sys.setprofile(count)
        try:
            return handle(event, now)
        finally:
            sys.setprofile(None)

    simulation.scheduler.handle = counted  # type: ignore[method-assign]
    simulation.run()
    return calls / simulation.events


@pytest.mark.long
def test_an_event_costs_the_same_with_ten_times_the_chunks() -> None:
    # Shorter jobs have fewer of the events that queue a task ahead: a job ends without.
    short, long = calls_per_event(1_000), calls_per_event(10_000)
    print(f"calls per event: {short:.1f} of 1,000 chunks, {long:.1f} of 10,000")
    assert long <= 1.05 * short

"""What the scheduler costs per event, by the number of chunks: `python -m benchmarks.scheduler_cost`.

CPU time of one core, the scheduler alone: events are handed to it in the order of a simulated run. Memory is
what its state takes beside the task ids, which the task graph holds anyway.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.scheduler.core import Scheduler
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import Simulation
from farm.simulator.workload import SimulatedFilm, StageTimes, films, job
from jobs.tasks.topology import Machine, parse_topology

if TYPE_CHECKING:
    from farm.scheduler import events
    from farm.scheduler.commands import Command

TIMES = StageTimes(2.0, 3.2, 1.4, segment_s=0.6)
FRAME_BYTES = 400 * 10**6
CHUNKS_PER_FILM = 100
TRACED_CHUNKS = 10_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one job: CPU seconds to build the graph, to simulate it, and of these inside the scheduler."""

    chunks: int
    tasks: int
    events: int
    build_s: float
    scheduler_s: float
    simulation_s: float

    @property
    def event_us(self) -> float:
        return 1e6 * self.scheduler_s / self.events


def measure(chunks: int, gpus: int) -> Cost:
    """Simulates a job of so many chunks on so many monoliths."""
    start_s = time.process_time()
    graph = ScheduleGraph(job(_films(chunks)))
    built_s = time.process_time()
    simulation = Simulation(graph, parse_topology(f"mono={gpus}", Machine(gpus, max(1, gpus // 8))))
    spent = _timed(simulation.scheduler)
    begun_s = time.process_time()
    simulation.run()
    simulation_s = time.process_time() - begun_s
    return Cost(chunks, len(graph), simulation.events, built_s - start_s, spent[0], simulation_s)


def traced_bytes_per_task(chunks: int) -> float:
    """Memory of graph and scheduler per task, ids included."""
    tracemalloc.start()
    graph = ScheduleGraph(job(_films(chunks)))
    scheduler = Scheduler(graph)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / scheduler.board.tasks.left


def _films(chunks: int) -> list[SimulatedFilm]:
    film = SimulatedFilm(
        "film", min(chunks, CHUNKS_PER_FILM), TIMES, joint="overlap", frame_bytes=FRAME_BYTES
    )
    return films(chunks // film.chunks, film)


def _timed(scheduler: Scheduler) -> list[float]:
    """Adds up the CPU time spent inside `handle`."""
    spent, handle, clock = [0.0], scheduler.handle, time.process_time

    def timed(event: events.Event, now: float) -> list[Command]:
        start_s = clock()
        commands = handle(event, now)
        spent[0] += clock() - start_s
        return commands

    scheduler.handle = timed  # type: ignore[method-assign]
    return spent


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--gpus", type=int, default=512)
    options = parser.parse_args(argv)
    print("| chunks | tasks | events | per event | graph built in | simulated in |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for chunks in options.chunks:
        cost = measure(chunks, options.gpus)
        print(
            f"| {cost.chunks:,} | {cost.tasks:,} | {cost.events:,} | {cost.event_us:.0f} us "
            f"| {cost.build_s:.1f} s | {cost.simulation_s:.1f} s |"
        )
    print(f"\n{traced_bytes_per_task(TRACED_CHUNKS):.0f} bytes per task, ids included.")


if __name__ == "__main__":
    main()

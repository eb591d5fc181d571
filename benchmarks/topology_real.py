"""Cells of the topology table on real Ray workers: `python -m benchmarks.topology_real`.

`auto`, one worker per GPU, and the best staged split of the exhaustive search render the same job, one after
the other, with stages that sleep the table's seconds scaled down. Writes docs/benchmarks.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.page import machine, table, write_section
from benchmarks.prediction import ALLOWED, LEARNT_FROM, predict_s
from benchmarks.timed_runs import Lap, Place, farm_lap, memory_folder, own_ray
from benchmarks.topology_table import MODELS, MOST_RATIO, every_split
from benchmarks.workloads import Workload
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import simulate
from farm.simulator.workload import SimulatedFilm, job
from jobs.tasks.topology import MONO, Machine, parse_topology

MOST_GPUS = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """A model's stage times by `scale`, films of so many chunks, and the GPUs there are."""

    model: str
    lengths: tuple[int, ...]
    gpus: int
    scale: float

    @property
    def workload(self) -> Workload:
        return Workload(self.lengths, MODELS[self.model].scaled(self.scale))

    def __str__(self) -> str:
        films, chunks = len(self.lengths), self.lengths[0]
        return f"{films} clips" if chunks == 1 else f"{films} film{'s' * (films > 1)} of {chunks}"


CELLS = (
    Cell("sleeps", (8,) * 4, 4, 1.0),
    Cell("sleeps", (1,) * 32, 4, 1.0),
    Cell("sleeps", (12,), 4, 1.0),
    Cell("LTXV 2B", (8,) * 4, 4, 0.12),
    Cell("LTXV 2B", (12,), 2, 0.16),
    Cell("LTXV 13B", (8,) * 4, 4, 0.035),
    Cell("LTXV 13B", (8,) * 4, 8, 0.06),
    Cell("LTX-2", (12,), 4, 0.03),
)

NOTES = """
Cells of the [topology table](topology.md), rendered: Ray workers on logical GPUs, commits and segments;
stages sleep the table's seconds, scaled so that a job takes seconds. *Best split* is the fastest staged one
of the exhaustive search; `auto` is what `--topology auto` took by itself, *plan* what `farm plan` said of it
before, from the times that the renders above had left behind. Makespans from the first task handed out, when
every worker is ready, to the last commit. Stages that sleep are no faster in a gang: there is none here.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A cell rendered three ways."""

    cell: Cell
    plan_s: float
    auto: Lap
    mono: Lap
    split: str
    staged: Lap

    @property
    def ratio(self) -> float:
        """`auto` over the best of the others."""
        return self.auto.makespan_s / min(self.mono.makespan_s, self.staged.makespan_s)

    @property
    def error(self) -> float:
        """Of the plan."""
        return self.plan_s / self.auto.makespan_s - 1


def best_split(cell: Cell) -> str:
    """The fastest split of all, simulated."""
    times = cell.workload.times
    assert times is not None
    some = (
        SimulatedFilm(f"film{n}", length, times, joint="overlap") for n, length in enumerate(cell.lengths)
    )
    graph, machine_ = ScheduleGraph(job(some)), Machine(cell.gpus)
    splits = [text for text in every_split(cell.gpus) if not text.startswith(MONO)]
    return min(splits, key=lambda text: simulate(graph, parse_topology(text, machine_)).makespan_s)


def measure(cell: Cell, folder: Path, runs: Path) -> Row:
    """The cell's three renders on the open Ray session."""
    split, laps = best_split(cell), []
    plan_s = predict_s(cell.workload, "auto", Place(folder / "plan", runs, cell.gpus))
    for number, topology in enumerate(("auto", f"{MONO}={cell.gpus}", split)):
        place = Place(folder / f"{folder.name}-{number}", runs, cell.gpus)
        laps.append(farm_lap(cell.workload, topology, place))
    return Row(cell, plan_s, laps[0], laps[1], split, laps[2])


def section(rows: list[Row], on: str) -> str:
    """The section of the page."""
    cells = [
        [
            f"{row.cell.model} x {row.cell.scale:g}",
            str(row.cell),
            str(row.cell.gpus),
            f"`{_without_segments(row.auto.topology)}`",
            f"{row.auto.makespan_s:.2f}",
            f"{row.plan_s:.2f}",
            f"{row.error:+.1%}",
            f"{row.mono.makespan_s:.2f}",
            f"`{row.split}`",
            f"{row.staged.makespan_s:.2f}",
            f"{row.ratio:.3f}",
        ]
        for row in rows
    ]
    head = ["stage times", "job", "GPUs", "`auto` takes", "s", "plan, s", "error"]
    head += ["mono, s", "best split", "s", "ratio"]
    worst, off = max(row.ratio for row in rows), max(abs(row.error) for row in rows)
    closing = (
        f"`auto` over the faster of the two: at most {worst:.3f}; {MOST_RATIO} is allowed. Its plan is off "
        f"by {off:.1%} at most; {ALLOWED:.0%} is allowed.\n"
    )
    return f"`python -m benchmarks.topology_real`. {on}\n{NOTES}\n{table(head, cells)}\n{closing}"


def _without_segments(topology: str) -> str:
    return ",".join(pool for pool in topology.split(",") if not pool.startswith("segment"))


def main() -> None:
    on, rows = machine(("ray",)), []
    with memory_folder() as folder, own_ray(MOST_GPUS):
        farm_lap(LEARNT_FROM[0][0], LEARNT_FROM[0][1], Place(folder / "learn", folder / "runs"))
        for number, cell in enumerate(CELLS):
            rows.append(measure(cell, folder / f"cell-{number}", folder / "runs"))
            row = rows[-1]
            print(
                f"{cell.model} {cell} on {cell.gpus}: auto {row.auto.topology} {row.auto.makespan_s:.2f}, "
                f"mono {row.mono.makespan_s:.2f}, {row.split} {row.staged.makespan_s:.2f}: {row.ratio:.3f}, "
                f"plan {row.plan_s:.2f} {row.error:+.1%}",
                flush=True,
            )
    write_section("Topologies, rendered", section(rows, on))
    if any(row.ratio > MOST_RATIO or abs(row.error) > ALLOWED for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

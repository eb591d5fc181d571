"""Simulated makespans from 1 to 4,096 GPUs, for docs/scaling.md: `python -m benchmarks.scaling_curves`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.page import table
from benchmarks.scaling import film as one_film
from farm.estimates.known import SEGMENT_S_PER_PIXEL
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import SimulationConfig, simulate
from farm.simulator.workload import H200, SimulatedFilm, StageTimes, films, job
from farm.topology.bound import Bound, job_facts
from farm.topology.segment_workers import topology_for
from jobs.frames import Joint
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine

PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
MODEL = "LTXV 13B"
FRAME_RATE = 25
NEW_FRAMES = 80
SEGMENT_S = round(NEW_FRAMES * 1536 * 1024 * SEGMENT_S_PER_PIXEL, 1)
"""The frames that an extend owns, on one core."""

TIMES = replace(H200[MODEL], segment_s=SEGMENT_S)
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
CPU_GPUS, FEW_CPUS = 256, 16
OVERHEADS = SimulationConfig(handoff_s=0.002, commit_s={Stage.DECODE: 0.5}, report_s=0.002)
"""Half a second to write 460 MB of frames; 2 ms each way between driver and worker."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job of equal films, each one chain, or `held`: chunks that meet in images that both hold."""

    title: str
    films: int
    seconds: int
    joint: Joint
    held: bool = False

    @property
    def chunks(self) -> int:
        return -(-self.seconds * FRAME_RATE // NEW_FRAMES)

    def make(self) -> list[SimulatedFilm]:
        return films(self.films, SimulatedFilm("film", self.chunks, TIMES, not self.held, self.joint))


CASES = (
    Case("1,000 films of one minute", 1000, 60, "overlap"),
    Case("One film of two hours, both passes chained", 1, 7200, "overlap"),
    Case("One film of two hours, second pass by stills", 1, 7200, "still"),
    Case("One film of two hours, held images", 1, 7200, "none", held=True),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One number of GPUs, and of the CPUs that encode segments beside them."""

    gpus: int
    cpus: int
    makespan_s: float
    bound: Bound
    busy: float

    def row(self, first: Point) -> str:
        speedup = first.makespan_s / self.makespan_s
        limit = "workers busy" if self.bound.stages else "longest chain"
        return (
            f"| {self.gpus:,} | {self.cpus:,} | {_clock(self.makespan_s)} | {speedup:.1f} "
            f"| {100 * self.busy:.0f} % | {self.makespan_s / self.bound.seconds:.3f} | {limit} |"
        )


def curve(case: Case) -> Iterator[Point]:
    """Monoliths, doubling. Once the chain alone takes the time, larger machines are not simulated again."""
    tasks = list(job(case.make()))
    graph, facts = ScheduleGraph(tasks), job_facts(tasks)
    gpu_s = sum(each.work_s for stage, each in facts.stages.items() if stage is not Stage.SEGMENT)
    last: Point | None = None
    for gpus in GPUS:
        topology = topology_for(f"mono={gpus}", Machine(gpus), facts)
        cpus, bound = topology.workers(Stage.SEGMENT), facts.bound(topology)
        if last is not None and not last.bound.stages and last.makespan_s <= 1.005 * bound.seconds:
            makespan_s = last.makespan_s
        else:
            makespan_s = simulate(graph, topology, OVERHEADS).makespan_s
        last = Point(gpus, cpus, makespan_s, bound, gpu_s / (gpus * makespan_s))
        yield last


def section(case: Case) -> str:
    """Table and verdict of one case."""
    points = list(curve(case))
    rows = "\n".join(point.row(points[0]) for point in points)
    return (
        f"## {case.title}\n\n{case.films * case.chunks:,} chunks, {case.chunks:,} in each chain.\n\n"
        "| GPUs | CPUs | makespan | speedup | GPUs busy | of the bound | limited by |\n"
        f"| ---: | ---: | ---: | ---: | ---: | ---: | --- |\n{rows}\n\n{verdict(case, points)}\n"
    )


def verdict(case: Case, points: list[Point]) -> str:
    """Where it stops scaling, and why."""
    stop = next((at for at, point in enumerate(points) if not point.bound.stages), None)
    if stop is None:
        return f"It scales to {points[-1].gpus:,} GPUs: the workers are busy all along."
    if case.held:
        return (
            f"It stops scaling between {points[max(0, stop - 1)].gpus:,} and {points[stop].gpus:,} GPUs, "
            "where every chunk has a GPU of its own. Somebody has to make the images."
        )
    chain_s = points[stop].bound.seconds
    chained = case.joint == "overlap"
    slowest_s = max(TIMES.sample_s, TIMES.upscale_s) if chained else TIMES.sample_s
    what = "the second pass" if chained and TIMES.upscale_s > TIMES.sample_s else "sampling"
    return (
        f"It stops scaling between {points[max(0, stop - 1)].gpus:,} and {points[stop].gpus:,} GPUs, at "
        f"{_clock(chain_s)}: each chunk extends the one before it, so {what} of a film's {case.chunks:,} "
        f"chunks takes {case.chunks:,} x {slowest_s:g} s one after the other, on any number of GPUs. "
        f"{_way_out(case)}"
    )


def _way_out(case: Case) -> str:
    if case.films > 1:
        return "More films, or hard cuts inside them (every `generate` begins a new chain), use more GPUs."
    cut = "Each hard cut (a `generate`) splits the chain, and the pieces render at the same time."
    free = "`upscale: {joint: still}` frees the second pass from its chain, held images the first. "
    return (free if case.joint == "overlap" else "") + cut


INTRO = f"""# How far it scales

Simulated with the scheduler that runs the cluster, on stage times of {MODEL} measured on one H200: per
chunk of 97 frames ({NEW_FRAMES} of them new), sample 9.8 s at 768x512, upscale with 5 refining steps at
1536x1024 12.3 s, decode 1.4 s; and {SEGMENT_S:g} s of one CPU core to encode the new frames
([benchmarks](benchmarks.md)). One worker per GPU, and as many CPUs to encode segments as keep up with them;
assumed are 2 ms between driver and worker and half a second to write a chunk's frames. Start-up and the
network of very large clusters are not in it, and none of these clusters was run.

`python -m benchmarks.scaling_curves` writes this page.

"""

CPUS = f"""## CPUs beside the GPUs

A chunk takes {SEGMENT_S:g} s of one core to encode, whatever made it: the faster the model, the more CPUs
keep up with its GPU. A job gets as many segment workers as its stage times ask for, some to spare, as far as
the cluster's CPUs go; where those are too few, the render and `farm plan SPEC --cpus N` say so, and how many
would keep up. 1,000 films of five chunks on {CPU_GPUS} GPUs:

"""


def cpus_section() -> str:
    """What the encoding of segments asks of the CPUs, and what too few of them cost."""
    head = ("model", "s of a GPU", "CPUs for each GPU", "CPUs", "makespan", f"with {FEW_CPUS} CPUs")
    rows = (_cpu_row(model, replace(times, segment_s=SEGMENT_S)) for model, times in H200.items())
    return CPUS + table(head, rows)


def _cpu_row(model: str, times: StageTimes) -> tuple[str, ...]:
    gpu_s = times.sample_s + times.upscale_s + times.decode_s
    tasks = list(job(films(1000, SimulatedFilm("film", 5, times, joint="overlap"))))
    graph, facts = ScheduleGraph(tasks), job_facts(tasks)
    texts = (f"mono={CPU_GPUS}", f"mono={CPU_GPUS},segment={FEW_CPUS}")
    enough, few = (topology_for(text, Machine(CPU_GPUS), facts) for text in texts)
    taken_s = [simulate(graph, topology, OVERHEADS).makespan_s for topology in (enough, few)]
    cpus = f"{enough.workers(Stage.SEGMENT)}"
    return (model, f"{gpu_s:.1f}", f"{SEGMENT_S / gpu_s:.2f}", cpus, *map(_clock, taken_s))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def main(argv: Sequence[str] | None = None) -> None:
    """Simulates every case and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    options.page.write_text(INTRO + "\n".join((one_film.section(), *map(section, CASES), cpus_section())))
    print(f"wrote {options.page}")


if __name__ == "__main__":
    main()

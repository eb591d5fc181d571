"""The farm beside what else could render the same jobs, in one run: `python -m benchmarks.side_by_side`.

Three jobs on four workers (two samplers, one upscaler, one decoder; monoliths take the same four), once with
stages that sleep 0.4 / 0.1 / 0.2 s and once with the bundled model. Every contender runs in a process of its
own, one after the other, and its workers are ready before the clock starts. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field

from benchmarks.page import machine, table, write_section
from benchmarks.timed_runs import Lap, memory_folder, own_ray
from benchmarks.workloads import GPUS, SHAPES, STAGED, Workload

CONTENDERS = {
    "this farm, staged": "plain:farm_staged",
    "this farm, `auto`": "plain:farm_auto",
    "Ray Data, a row per film": "ray_data:ray_data_rows",
    "Ray Data, chunks streamed": "ray_data:ray_data_streams",
    "cosmos-xenna": "xenna:xenna",
    "4 monolithic replicas": "plain:monoliths",
    "plain loop": "plain:plain_loop",
}
NEEDS_DASHBOARD = ("cosmos-xenna",)
FARM, RIVAL, STREAMED = "this farm, staged", "Ray Data, a row per film", "Ray Data, chunks streamed"
ALLOWED, FASTER_CHAINED = 1.05, 1.4
DEADLINE_S = 300.0
PACKAGES = ("ray", "pyarrow", "pandas", "cosmos-xenna", "torch", "diffusers")
MARK = "measured: "


@dataclass(frozen=True, slots=True)
class Score:
    """One contender: its laps by job, the seconds Ray took to start, or why it could not run."""

    laps: dict[str, Lap] = field(default_factory=dict)
    ray_s: float = 0.0
    reason: str = ""


def workload(shape: str, tiny: bool) -> Workload:
    """A job of the table."""
    return Workload(SHAPES[shape], None) if tiny else Workload(SHAPES[shape])


def run_here(name: str, tiny: bool) -> Score:
    """Every job by this contender, in this process."""
    module, function = CONTENDERS[name].split(":")
    contend = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), function)
    ray = nullcontext(0.0) if name == "plain loop" else own_ray(GPUS, dashboard=name in NEEDS_DASHBOARD)
    with memory_folder() as folder, ray as ray_s:
        laps = {}
        for shape in SHAPES:
            place = folder / shape.replace(" ", "-")
            place.mkdir()
            laps[shape] = contend(workload(shape, tiny), place)
        return Score(laps, ray_s)


def run_apart(name: str, tiny: bool) -> Score:
    """Every job by this contender in a process of its own; what it cannot do, it says."""
    command = [sys.executable, "-m", "benchmarks.side_by_side", "--only", name, *(["--tiny"] if tiny else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        return Score(reason=f"not done within {DEADLINE_S:g} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        return Score(reason=(done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200])
    read = json.loads(lines[-1].removeprefix(MARK))
    return Score({shape: Lap(**lap) for shape, lap in read["laps"].items()}, read["ray_s"])


def makespans(scores: dict[str, Score], tiny: bool) -> str:
    """Rows of makespans; a sleeping job's bound is the first, and what failed says why in a last column."""
    rows = [] if tiny else [["bound", *(f"{workload(shape, tiny).bound_s():.2f}" for shape in SHAPES), ""]]
    for name, score in scores.items():
        laps = [f"{score.laps[shape].makespan_s:.2f}" if shape in score.laps else "-" for shape in SHAPES]
        rows.append([name, *laps, score.reason])
    if not any(score.reason for score in scores.values()):
        return table(["seconds", *SHAPES], [row[:-1] for row in rows])
    return table(["seconds", *SHAPES, "why not"], rows)


def start_ups(scores: dict[str, Score]) -> str:
    """Rows of start-up times: Ray itself, then the workers of each job."""
    rows = []
    for name, score in scores.items():
        laps = [f"{score.laps[shape].start_s:.1f}" if shape in score.laps else "-" for shape in SHAPES]
        rows.append([name, f"{score.ray_s:.1f}", *laps])
    return table(["start-up, seconds", "Ray", *SHAPES], rows)


def verdicts(scores: dict[str, Score]) -> dict[str, bool]:
    """The bars on the sleeping jobs, in words, and whether each was met."""
    farm, rival = scores[FARM].laps, scores[RIVAL].laps
    said: dict[str, bool] = {}
    for shape in SHAPES:
        bound_s, took_s = workload(shape, False).bound_s(), farm[shape].makespan_s
        ratio = took_s / bound_s
        said[f"{shape}: {ratio:.3f} of its bound, {ALLOWED} allowed"] = ratio <= ALLOWED
        faster, least = rival[shape].makespan_s / took_s, FASTER_CHAINED if max(SHAPES[shape]) > 1 else 1.0
        said[f"{shape}: {faster:.2f} times as fast as Ray Data, {least} asked"] = faster > least
    return said


NOTES = f"""
Four logical GPUs: two samplers, one upscaler, one decoder (`{STAGED}`); replicas and `auto` may use the same
four as they like. A makespan runs from the begin of the first step, when every worker is ready, to the last
result. The farm's has commits of every result and the encoding of segments in it; the others keep results in
memory and encode nothing. All call the same step functions on the same task graph, the second pass chained.

Ray Data has an actor pool of a fixed size per stage, warm before the first row (`wait_for_min_actors_s`),
batches of one row, a block per row (`target_max_block_size=1`) and four calls in flight per actor. *A row per
film*: a stage hands a film on when it is through with all of its chunks. *Chunks streamed*: the sampler is a
generator that hands on each chunk. That form knows nothing of chains: the upscaler and the decoder keep the
chunks before in their own memory, so each of the two stages can have only one worker, and a failed call
renders its film again from the first chunk.
cosmos-xenna has a fixed number of workers per stage, two slots each, and CPU workers, as it sees no logical
GPUs; a film is one sample. Replicas take the next film when they are free. The plain loop is one process.
"""

SLEEPING = "### Stages that sleep: sample 0.4 s, upscale 0.1 s, decode 0.2 s\n"
BUNDLED = """### The bundled model

64 x 64 pixels, 4 steps, one thread per worker, all workers on this machine's cores: what counts here is how
few of their seconds are wasted. The farm alone encodes segments, joins films and commits on them as well.
"""
STARTING = "### Start-up, stages that sleep\n"


def section(scores: dict[str, Score], tiny: dict[str, Score], on: str) -> str:
    """The section of the page."""
    said = "".join(f"- {'met' if met else 'NOT met'}: {words}\n" for words, met in verdicts(scores).items())
    beside = scores[STREAMED].laps
    if beside:
        shares = (f"{beside[shape].makespan_s / scores[FARM].laps[shape].makespan_s:.2f}" for shape in SHAPES)
        ratios = " / ".join(shares)
        said += f"- beside Ray Data with chunks streamed, {ratios} times as fast; no bar asks for it\n"
    parts = (
        f"`python -m benchmarks.side_by_side`. {on}\n{NOTES}",
        f"{SLEEPING}\n{makespans(scores, False)}\n{said}",
        f"{BUNDLED}\n{makespans(tiny, True)}",
        f"{STARTING}\n{start_ups(scores)}",
    )
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(CONTENDERS), help="one contender, in this process")
    parser.add_argument("--tiny", action="store_true", help="with --only: the bundled model")
    options = parser.parse_args(argv)
    if options.only:
        print(MARK + json.dumps(asdict(run_here(options.only, options.tiny))))
        return
    on = machine(PACKAGES)
    scores: dict[str, Score] = {}
    tiny: dict[str, Score] = {}
    for kind, kept in ((False, scores), (True, tiny)):
        for name in CONTENDERS:
            kept[name] = run_apart(name, kind)
            print(
                name,
                *(f"{shape} {lap.makespan_s:.2f}" for shape, lap in kept[name].laps.items()),
                kept[name].reason,
                sep="; ",
                flush=True,
            )
    write_section("Side by side", section(scores, tiny, on))
    if not all(verdicts(scores).values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Automatic topology against an exhaustive search over all splits: `python -m benchmarks.topology_table`.

Writes `docs/topology.md`. Every number is simulated with the stage times named there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import simulate
from farm.simulator.workload import H200, SLEEPS, SimulatedFilm, StageTimes, films, job
from farm.topology.memory import ModelSizes, footprint_of, working_for
from farm.topology.search import SearchConfig, find_topology
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, Machine, Topology, parse_topology

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint

PAGE = Path(__file__).parent.parent / "docs" / "topology.md"
GPUS = (2, 4, 8, 16)
SHAPES = {"32 clips": (32, 1), "4 films of 8": (4, 8), "1 film of 24": (1, 24)}
MODELS: dict[str, StageTimes] = {"sleeps": SLEEPS, **H200}
MOST_RATIO = 1.03

CLIPS: dict[str, Any] = {
    "version": 1,
    "name": "clips",
    "engine": {"name": "fake"},
    "defaults": {"width": 768, "height": 512, "prompt": "a clip"},
    "upscale": {"steps": 5},
    "videos": [{"name": "clip", "chunks": [{"generate": {"num_frames": 97}}]}],
}
"""What the stage times were measured on: its sizes give the working memory."""
LARGE = ModelSizes(transformer=24.2, vae=2.5, text_encoder=9.1, upsampler=0.5)
SMALL_GIB = 40.0
ENCODE_S = 0.1
"""The 13B model in bf16 with its text encoder, weights by parameter count, GPUs that they do not fit on
together; the encoder's time is assumed."""

INTRO = """# Which worker hosts which stage

`run.topology: auto` is a rule, and simulation counts the GPUs for it:

- One worker per GPU (`mono`) wherever the weights fit together: any worker can do whatever is next, and no
  split is faster in any cell of the first table.
- Where they do not fit together, stages have GPUs of their own, as many as their work asks for; the six
  likeliest splits are simulated and the fastest is taken.
- The fewest GPUs that take no more than 1 % longer: a machine with more of them than the chains can use gets
  no more than it needs, and the rest is left to other jobs.
- Gangs where the chains leave GPUs idle, a gang's speed was measured in the same runs directory beside that
  of one GPU, and the simulation with it is at least 3 % shorter.

The simulator is the scheduler itself on virtual time (`farm/simulator/simulate.py`), with the stage times of
this model and size. Those that were never measured are probed first, on two GPUs or more: a few steps of each
stage on one worker of each kind. A job too small to be worth a probe goes by estimates.

## Several GPUs for one chunk

`sample=1x4` is a **gang**: one worker of four ranks, each a process with a GPU of its own, all on one node.
A rank is no worker: it gets no task of its own, it shares those of its worker. `sample=2x2` are two gangs
of two, `mono=1x2,decode=1` has the first rank decode, and `sample=1x2@0` is a gang on CPUs, to try it.

- **What is shared**: the forwards of a guided step (with the prompt, the negative one, perturbed, picture and
  sound apart) are dealt to groups of ranks and exchanged: `cfg` to two groups, `stg` and `modality` on top to
  four. Within a group the tokens of the picture are dealt out: each rank has a part of them, and while tokens
  look at each other all of them for a part of the heads. So a distilled model, which has one forward a step,
  gains too. The sound and the last projection are computed whole by every rank, and so is everything else.
- **The film is that of one GPU.** Topology is in no digest, and a gang may resume what one GPU began. At its
  start each gang proves on one block of the model, at every size of the job, that it gives one GPU's bits;
  without that proof it serves only where the job says `run.mixed_compute: true`, and the films are then
  marked `exact: false`.
- **When it pays**: a gang makes one chunk sooner and several chunks no sooner than as many workers of one
  GPU. Take it where a film's chains are fewer than the GPUs. `farm plan -t sample=1x4,...` simulates it: a
  gang of K counts as K^0.8 times one GPU until both were measured. `auto` takes gangs once they were. Two
  H200 were 1.99 times as fast as one with guidance, without it 1.1 (768x512) to 1.8 times (1920x1088):
  [measured](gpu.md#gangs).
- **Limits**: one node has to have all GPUs of a gang, each rank holds the whole model, and the engine is
  `diffusers`; with `comfyui` a gang is refused before anything starts.
- **When a rank is lost**, its worker is: the log names the rank and the signal, all ranks end, the task is
  made again. A rank that hangs is found by the task's deadline. Ranks end with the first one, whatever ends
  that.
- **What is open**: ranks meet through a file in a private folder, listen on the loopback interface alone,
  and exchange tensors; orders go through pipes, as JSON and safetensors.

`farm status`, the log, the report and `farm why JOB TASK` name each rank's device and the memory that it
has held.

## What is compared

The tables compare `auto` with an exhaustive search over `mono` and every split of sample, upscale and
decode, co-located pairs included, on the same number of GPUs. Films are chains of chunks, in both passes.
Stage times are those of one H200 (768x512x97, refined at 1536x1024) and the 0.4 / 0.1 / 0.2 s of the sleep
benchmark; all makespans are simulated. [Benchmarks](benchmarks.md) has some of these cells rendered on Ray.
`python -m benchmarks.topology_table` writes this page.
"""

FITTING = "\n## Everything fits on every GPU\n\n"
NOT_FITTING = """
## Weights that do not fit together

The 13B model in bf16 on GPUs of {device:g} GiB: 24.2 GiB of transformer, 2.5 of VAE, 0.5 of upsampler and 9.1
of text encoder (T5-XXL), with the working memory that `auto` reckons with for clips of this size. Encode
alone needs {encode:.1f} GiB, sample {sample:.1f}, upscale {upscale:.1f}, decode {decode:.1f}, one worker
for everything {everything:.1f}. Here both searches deal all four stages; encoding is assumed to take 0.1 s
a chunk.

"""

HEADER = """| model | job | GPUs | `auto` takes | s | best of all | s | of how many | ratio | mono, s |
| --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One cell: what `auto` took, and the best of an exhaustive search."""

    model: str
    shape: str
    gpus: int
    auto: Topology
    auto_s: float
    best: str
    best_s: float
    tried: int
    mono_s: float | None

    @property
    def ratio(self) -> float:
        return self.auto_s / self.best_s

    def __str__(self) -> str:
        auto = str(Topology(tuple(pool for pool in self.auto.pools if pool.gpus)))
        mono = "does not fit" if self.mono_s is None else f"{self.mono_s:.1f}"
        return (
            f"| {self.model} | {self.shape} | {self.gpus} | `{auto}` | {self.auto_s:.1f} | `{self.best}` "
            f"| {self.best_s:.1f} | {self.tried} | {self.ratio:.3f} | {mono} |"
        )


def every_split(gpus: int, stages: Sequence[str] = ("sample", "upscale", "decode")) -> Iterator[str]:
    """Every way to deal the stages into pools on all GPUs, written apart from the code that `auto` uses."""
    yield f"mono={gpus}"
    for dealt in product(range(len(stages)), repeat=len(stages)):
        pools = max(dealt) + 1
        named_in_order = all(pool <= max(dealt[:at], default=-1) + 1 for at, pool in enumerate(dealt))
        if not named_in_order or pools == 1:
            continue
        hosted = [
            "+".join(stage for stage, own in zip(stages, dealt, strict=True) if own == pool)
            for pool in range(pools)
        ]
        for cuts in combinations(range(1, gpus), pools - 1):
            counts = (end - start for start, end in pairwise((0, *cuts, gpus)))
            yield ",".join(f"{pool}={count}" for pool, count in zip(hosted, counts, strict=True))


def measure(model: str, shape: str, gpus: int, footprint: Footprint | None = None) -> Row:
    """One cell of the table."""
    count, chunks = SHAPES[shape]
    times = MODELS[model]
    stages: tuple[str, ...] = ("sample", "upscale", "decode")
    if footprint is not None:
        times, stages = replace(times, encode_s=ENCODE_S), ("encode", *stages)
    some = films(count, SimulatedFilm("film", chunks, times, joint="overlap"))
    graph = ScheduleGraph(job(some))
    machine = Machine(gpus, segment_workers=1)
    fitting = [text for text in every_split(gpus, stages) if _fits(parse_topology(text, machine), footprint)]
    all_s = {text: simulate(graph, parse_topology(text, machine)).makespan_s for text in fitting}
    best = min(all_s, key=lambda text: all_s[text])
    found = find_topology(job(some), SearchConfig(machine, footprint)).winner
    return Row(
        model=model,
        shape=shape,
        gpus=gpus,
        auto=found.topology,
        auto_s=found.makespan_s,
        best=best,
        best_s=all_s[best],
        tried=len(all_s),
        mono_s=all_s.get(f"mono={gpus}"),
    )


def _fits(topology: Topology, footprint: Footprint | None) -> bool:
    pools = [pool.stages for pool in topology.pools if pool.gpus]
    return footprint is None or all(footprint.together_gib(own) <= footprint.device_gib for own in pools)


def small_footprint() -> Footprint:
    """What `auto` reckons with for these clips, that model and such a GPU."""
    plan = make_plan(load_spec(CLIPS).spec)
    return footprint_of(LARGE, working_for(build_graph(plan).tasks.values(), plan.engine), SMALL_GIB)


def not_fitting(footprint: Footprint) -> str:
    """The words above the second table."""
    return NOT_FITTING.format(
        device=footprint.device_gib,
        everything=footprint.together_gib(Stage),
        **{stage.value: footprint.together_gib((stage,)) for stage in GPU_STAGES},
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every cell and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    fitting = [measure(*cell) for cell in product(MODELS, SHAPES, GPUS)]
    footprint = small_footprint()
    small = [measure("LTXV 13B", shape, gpus, footprint) for shape, gpus in product(SHAPES, GPUS)]
    worst = max(row.ratio for row in fitting + small)
    closing = f"{len(fitting + small)} cells; the worst ratio is {worst:.3f}, {MOST_RATIO} is allowed.\n"
    titled = ((FITTING, fitting), (not_fitting(footprint), small))
    tables = (f"{title}{HEADER}{_lines(rows)}" for title, rows in titled)
    options.page.write_text(INTRO + "".join(tables) + "\n" + closing)
    print(closing.strip())
    if worst > MOST_RATIO:
        raise SystemExit(1)


def _lines(rows: list[Row]) -> str:
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    main()

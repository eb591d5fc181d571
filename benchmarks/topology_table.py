"""Automatic topology against all splits and gangs: `python -m benchmarks.topology_table`.

Writes `docs/topology.md`. Every number is simulated with the stage times named there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.scheduler.config import SchedulerConfig
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.gangs import usual_speed
from farm.simulator.simulate import SimulationConfig, simulate
from farm.simulator.workload import H200, SLEEPS, SimulatedFilm, StageTimes, films, job
from farm.topology.candidates import prompts_first
from farm.topology.memory import footprint_of, working_for
from farm.topology.model_sizes import ModelSizes
from farm.topology.search import SearchConfig, find_topology
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, MONO, SHARED_STAGES, Machine, Topology, parse_topology

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint

PAGE = Path(__file__).parent.parent / "docs" / "topology.md"
GPUS = (2, 4, 8, 16)
SHAPES = {"32 clips": (32, 1), "4 films of 8": (4, 8), "2 films of 12": (2, 12), "1 film of 24": (1, 24)}
MODELS: dict[str, StageTimes] = {"sleeps": SLEEPS, **H200}
MOST_RATIO = 1.03

GANG_SPEED = {1: 1.0, 2: 1.99, **{ranks: usual_speed(ranks) for ranks in (4, 8)}}
"""Two GPUs as measured of 13B with guidance, in both passes (docs/gpu.md); of four and eight nothing was."""
NODE_GPUS = 8

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
  split is faster in any cell of the tables.
- The text encoder counts as long as prompts are encoded: where it has no room beside the rest, they are
  encoded before anything else, and it leaves.
- Where they do not fit together, stages have GPUs of their own, as many as their work asks for; the six
  likeliest splits are simulated and the fastest is taken.
- Gangs, where their speed was measured in the same runs directory beside that of one GPU: `mono` and every
  split with each such number of ranks for its workers, no more of them than the nodes hold. The six likeliest
  are simulated, too, and the fastest is taken if it is at least 3 % shorter than what there is without gangs.
- The fewest GPUs that take no more than 1 % longer: a machine with more of them than the chains can use gets
  no more than it needs, and the rest is left to other jobs.

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
  gains too. The sound and the last projection are computed whole by every rank, and so is the rest of a pass.
- **Decodes**: one in tiles (`decode.tiling`) is dealt out by its tiles, and LTX-2.5's diffusion decoder by
  the frames that its blocks take at a time: sums are those of one GPU both ways. Any other window is decoded
  at once, by the first rank: a convolution over a part of it may sum in another order. So is a chunk's sound,
  whose windows are a minute long. `farm plan` takes every decode to be as long as one GPU's. Behind temporal
  rounds a chunk's windows are tasks of their own, which any workers decode.
- **The film is that of one GPU.** Topology is in no digest, and a gang may resume what one GPU began. At its
  start each gang proves on one block of the model, at every size of the job, that it gives one GPU's bits;
  without that proof it serves only where the job says `run.mixed_compute: true`, and the films are then
  marked `exact: false`. On CPUs [latents are equal](decisions/0036-a-gang-is-one-worker.md#on-cpus) with 2
  and 4 ranks at all sizes that were tried, with 2 threads a process. With 3 functions of single numbers round
  otherwise at a thread's end: 3e-6 of the largest at 256x256x33.
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

`farm plan` reckons the memory that each rank needs. `farm status`, the log, the report and `farm why JOB
TASK` name each rank's device and the memory that it has held.

## What is compared

The tables compare `auto` with an exhaustive search over `mono` and every split of sample, upscale and
decode, co-located pairs included, on the same number of GPUs, the workers of each pool that samples or
upscales alone or in gangs of 2, 4 or 8, at most 8 GPUs to a node. *No gangs* is the best without any, *of*
how many were compared. Films are chains of chunks, in both passes. Stage times are those of one H200
(768x512x97, refined at 1536x1024) and the 0.4 / 0.1 / 0.2 s of the sleep benchmark, whose stages are no
faster in a gang and get none; all makespans are simulated. [Benchmarks](benchmarks.md) has some of these
cells rendered on Ray. `python -m benchmarks.topology_table` writes this page.

**How fast gangs are taken to be**: two GPUs 1.99 times as fast as one, which is measured of 13B with guidance
at both sizes; nothing else was measured with guidance, and the other models take the same. Four GPUs 3.0 and
eight 5.3 times (K^0.8): a rule after one published number, 5.2 times for eight, not a measurement. What
`auto` takes on a machine goes by what was measured there.
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

HEADER = """| model | job | GPUs | `auto` takes | s | best of all | s | of | ratio | no gangs, s | mono, s |
| --- | --- | ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |
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
    alone_s: float
    mono_s: float | None

    @property
    def ratio(self) -> float:
        return self.auto_s / self.best_s

    def __str__(self) -> str:
        auto = str(Topology(tuple(pool for pool in self.auto.pools if pool.gpus)))
        mono = "does not fit" if self.mono_s is None else f"{self.mono_s:.1f}"
        return (
            f"| {self.model} | {self.shape} | {self.gpus} | `{auto}` | {self.auto_s:.1f} | `{self.best}` "
            f"| {self.best_s:.1f} | {self.tried} | {self.ratio:.3f} | {self.alone_s:.1f} | {mono} |"
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


def with_gangs(text: str, sizes: Iterable[int]) -> Iterator[str]:
    """The split with every number of ranks for each pool that they share the steps of, on the same GPUs."""
    choices = []
    for pool in text.split(","):
        name, _, count = pool.partition("=")
        shares = name == MONO or any(stage in name for stage in SHARED_STAGES)
        ganged = (f"{name}={int(count) // ranks}x{ranks}" for ranks in sizes if int(count) % ranks == 0)
        choices.append([pool, *(ganged if shares else ())])
    yield from (",".join(each) for each in product(*choices))


def measure(model: str, shape: str, gpus: int, footprint: Footprint | None = None) -> Row:
    """One cell of the table."""
    count, chunks = SHAPES[shape]
    times = MODELS[model]
    stages: tuple[str, ...] = ("sample", "upscale", "decode")
    if footprint is not None:
        times, stages = replace(times, encode_s=ENCODE_S), ("encode", *stages)
    some = films(count, SimulatedFilm("film", chunks, times, joint="overlap"))
    graph = ScheduleGraph(job(some))
    sizes = () if model == "sleeps" else tuple(GANG_SPEED)[1:]
    machine = Machine(gpus, segment_workers=1, node_gpus=NODE_GPUS)
    config = SimulationConfig(gang_speed=GANG_SPEED.__getitem__)
    every = (text for split in every_split(gpus, stages) for text in with_gangs(split, sizes))
    fitting = [text for text in every if _fits(parse_topology(text, machine), footprint)]

    def seconds(topology: Topology) -> float:
        scheduler = SchedulerConfig(prompts_first=prompts_first(topology, set(Stage), footprint))
        return simulate(graph, topology, replace(config, scheduler=scheduler)).makespan_s

    all_s = {text: seconds(parse_topology(text, machine)) for text in fitting}
    best = min(all_s, key=lambda text: all_s[text])
    found = find_topology(job(some), SearchConfig(machine, footprint, config, sizes)).winner
    return Row(
        model=model,
        shape=shape,
        gpus=gpus,
        auto=found.topology,
        auto_s=found.makespan_s,
        best=best,
        best_s=all_s[best],
        tried=len(all_s),
        alone_s=min(seconds for text, seconds in all_s.items() if "x" not in text),
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
    rows = fitting + small
    worst, ganged = max(row.ratio for row in rows), [row for row in rows if row.model != "sleeps"]
    won = sum(row.best_s * MOST_RATIO <= row.alone_s for row in ganged)
    closing = (
        f"{len(rows)} cells, {len(ganged)} of them with gangs, which are more than 3 % faster in {won}; the "
        f"worst ratio is {worst:.3f}, {MOST_RATIO} is allowed.\n"
    )
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

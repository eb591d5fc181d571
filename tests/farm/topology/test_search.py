"""Automatic topology against an exhaustive search, and what it says."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.simulator.simulate import simulate
from farm.simulator.workload import H200, SLEEPS, SimulatedFilm, StageTimes, films, job
from farm.topology.candidates import Footprint, fitting, layouts, prompts_first
from farm.topology.memory import Working, footprint_of
from farm.topology.model_sizes import ModelSizes
from farm.topology.search import Found, SearchConfig, find_topology
from jobs.errors import CapacityError
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, Topology, parse_topology

ROOT = Path(__file__).parents[3]
SHAPES = {"32 clips": (32, 1), "4 chains of 8": (4, 8), "1 chain of 12": (1, 12), "3 chains of 20": (3, 20)}


def every_split(gpus: int) -> list[str]:
    """Written out by hand, apart from the code under test."""
    texts = [f"mono={gpus}"]
    for first in range(1, gpus):
        rest = gpus - first
        texts += [
            f"sample={first},upscale+decode={rest}",
            f"sample+upscale={first},decode={rest}",
            f"sample+decode={first},upscale={rest}",
        ]
    for first, second in product(range(1, gpus - 1), repeat=2):
        if first + second < gpus:
            texts.append(f"sample={first},upscale={second},decode={gpus - first - second}")
    return texts


def every_deal(gpus: int, stages: tuple[str, ...]) -> list[str]:
    """Every way to deal the stages into pools that share the GPUs."""
    texts = []
    for dealt in product(range(len(stages)), repeat=len(stages)):
        pools = sorted(set(dealt))
        if pools != list(range(len(pools))):
            continue
        names = ["+".join(s for s, own in zip(stages, dealt, strict=True) if own == pool) for pool in pools]
        for counts in product(range(1, gpus + 1), repeat=len(pools)):
            if sum(counts) == gpus:
                texts.append(",".join(f"{n}={c}" for n, c in zip(names, counts, strict=True)))
    return texts


def shortest_s(tasks: Sequence[ScheduledTask], topologies: Iterable[Topology]) -> float:
    """The shortest makespan of all. What the busiest pool of a topology has to do is less than its makespan,
    so one that has more of it than another takes in all is not simulated."""
    graph, work_s = ScheduleGraph(tasks), dict.fromkeys(Stage, 0.0)
    for task in tasks:
        work_s[task.stage] += task.duration_s

    def busiest_s(topology: Topology) -> float:
        return max(
            sum(work_s[stage] for stage in pool.stages) / pool.count for pool in topology.pools if pool.gpus
        )

    best_s = math.inf
    for topology in sorted(topologies, key=busiest_s):
        if busiest_s(topology) >= best_s:
            break
        best_s = min(best_s, simulate(graph, topology).makespan_s)
    return best_s


def search(some: list[SimulatedFilm], gpus: int, footprint: Footprint | None = None) -> Found:
    return find_topology(job(some), SearchConfig(Machine(gpus), footprint))


@pytest.mark.parametrize("gpus", [2, 3, 4, 8])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("times", [SLEEPS, *H200.values()], ids=["sleeps", *H200])
def test_never_three_percent_slower_than_the_best_of_all_splits(
    times: StageTimes, shape: tuple[int, int], gpus: int
) -> None:
    some = films(shape[0], SimulatedFilm("v", shape[1], times, joint="overlap"))
    best_s = shortest_s(list(job(some)), [parse_topology(text, Machine(gpus)) for text in every_split(gpus)])
    assert search(some, gpus).winner.makespan_s <= 1.03 * best_s


def test_monoliths_win_with_films_enough_and_it_says_so() -> None:
    found = search(films(32, SimulatedFilm("v", 1, SLEEPS)), 4)
    assert str(found.winner.topology) == "mono=4,segment=1"
    assert re.fullmatch(r"mono=4 takes 5\.[67] s", found.reason)


def test_a_chain_alone_takes_the_gpus_that_help_and_no_more() -> None:
    found = search([SimulatedFilm("v", 12, SLEEPS)], 8)
    assert found.winner.makespan_s == pytest.approx(5.1)
    assert found.winner.topology.gpus == 2
    assert "2 of 8 GPUs suffice" in found.reason
    assert "longest chain alone (5.1 s)" in found.reason


def test_twice_the_gpus_are_not_taken_for_one_percent() -> None:
    found = search([SimulatedFilm("v", 100, StageTimes(10.0, 0.0, 0.1))], 8)
    assert str(found.winner.topology) == "mono=1,segment=1"
    assert found.winner.makespan_s == pytest.approx(1010.0)
    assert "1 of 8 GPUs suffice and mono=8 would take 1000.1 s" in found.reason


MODELS = {
    Stage.ENCODE: {"text encoder": 10.0},
    Stage.SAMPLE: {"transformer": 26.0},
    Stage.UPSCALE: {"transformer": 26.0, "upsampler": 1.0},
    Stage.DECODE: {"vae": 2.0},
}
WORKING = {Stage.SAMPLE: 4.0, Stage.UPSCALE: 8.0, Stage.DECODE: 7.0}
WITH_PROMPTS = StageTimes(9.8, 12.3, 1.4, encode_s=0.3)


def hosted_gib(found: Found, footprint: Footprint) -> float:
    return max(footprint.together_gib(pool.stages) for pool in found.winner.topology.pools if pool.gpus)


def test_weights_that_do_not_fit_together_are_split() -> None:
    some = films(8, SimulatedFilm("v", 6, WITH_PROMPTS))
    footprint = Footprint(36.0, MODELS, WORKING)
    found = search(some, 4, footprint)
    assert hosted_gib(found, footprint) <= 36.0
    assert not found.winner.exchanges
    assert "all models together need 37 GiB and a GPU has 36" in found.reason
    roomy = search(some, 4, Footprint(80.0, MODELS, WORKING))
    assert str(roomy.winner.topology).startswith("mono=4")


def test_a_text_encoder_that_does_not_fit_beside_the_transformer_lives_elsewhere() -> None:
    found = search(films(8, SimulatedFilm("v", 6, WITH_PROMPTS)), 4, Footprint(36.0, MODELS, WORKING))
    (encoding,) = [pool for pool in found.winner.topology.pools if Stage.ENCODE in pool.stages]
    assert Stage.SAMPLE not in encoding.stages
    assert not found.winner.exchanges


def test_a_text_encoder_leaves_the_transformer_where_sample_and_upscale_then_share_workers() -> None:
    times = replace(H200["LTXV 13B"], encode_s=0.1)
    sizes = ModelSizes(transformer=24.2, vae=2.5, text_encoder=9.1, upsampler=0.5)
    footprint = footprint_of(sizes, Working({**WORKING, Stage.DECODE: 18.0}), device_gib=40.0)
    assert footprint.together_gib((Stage.ENCODE, Stage.SAMPLE)) < 40.0
    found = search(films(32, SimulatedFilm("v", 1, times)), 8, footprint)
    assert str(found.winner.topology).startswith("encode+decode=1,sample+upscale=7")


def test_a_text_encoder_that_leaves_makes_room_for_the_rest() -> None:
    """All at once would need 47 GiB: prompts are encoded first."""
    footprint = Footprint(40.0, MODELS, WORKING)
    some = films(8, SimulatedFilm("v", 6, WITH_PROMPTS))
    found = search(some, 4, footprint)
    assert str(found.winner.topology).startswith("mono=4")
    assert not found.winner.exchanges
    assert footprint.at_once_gib(Stage) == pytest.approx(47.0)
    assert footprint.together_gib(Stage) == pytest.approx(37.0)
    roomy = search(some, 4, Footprint(80.0, MODELS, WORKING))
    assert found.winner.makespan_s <= 1.01 * roomy.winner.makespan_s


@pytest.mark.parametrize(
    ("topology", "device_gib", "first"),
    [
        ("mono=1", 47.0, False),
        ("mono=1", 46.0, True),
        ("mono=1@0.5", 93.0, True),
        ("encode=1,sample+upscale+decode=1", 30.0, False),
        ("encode+sample=1,upscale+decode=1", 40.0, False),
        ("encode+sample=1,upscale+decode=1", 39.0, True),
    ],
)
def test_prompts_come_first_where_the_text_encoder_has_no_room(
    topology: str, device_gib: float, first: bool
) -> None:
    parsed, stages = parse_topology(topology, Machine(2)), set(Stage)
    assert prompts_first(parsed, stages, Footprint(device_gib, MODELS, WORKING)) is first
    assert not prompts_first(parsed, stages, None)


def test_one_small_gpu_exchanges_its_models() -> None:
    found = search(films(8, SimulatedFilm("v", 1, WITH_PROMPTS)), 1, Footprint(36.0, MODELS, WORKING))
    assert found.winner.exchanges
    alone = search(films(8, SimulatedFilm("v", 1, WITH_PROMPTS)), 1)
    assert found.winner.changes == 2
    assert found.winner.makespan_s == pytest.approx(alone.winner.makespan_s + found.winner.changing_s)


def test_a_stage_too_large_for_any_gpu_is_refused_with_its_remedy() -> None:
    with pytest.raises(CapacityError, match=r"upscale alone needs 35 GiB.*use larger GPUs"):
        search(films(2, SimulatedFilm("v", 2, WITH_PROMPTS)), 4, Footprint(24.0, MODELS, WORKING))
    with pytest.raises(CapacityError, match="0 GPUs"):
        search(films(2, SimulatedFilm("v", 2, SLEEPS)), 0)


def test_a_job_without_upscale_or_encode_gets_pools_for_what_it_has() -> None:
    found = search(films(6, SimulatedFilm("v", 4, StageTimes(1.0, 0.0, 0.5))), 3)
    found.winner.topology.require({Stage.SAMPLE, Stage.DECODE})
    pools = [pool.stages for pool in found.winner.topology.pools if pool.gpus]
    assert all(stages & {Stage.SAMPLE, Stage.DECODE} for stages in pools)


def test_a_resumed_job_with_only_segments_left_needs_no_gpu() -> None:
    tasks = [ScheduledTask(f"v/{n:05d}/segment", Stage.SEGMENT, video="v", chunk=n) for n in range(4)]
    found = find_topology(tasks, SearchConfig(Machine(8, cpus=3)))
    assert str(found.winner.topology) == "segment=2"
    assert found.winner.makespan_s == pytest.approx(2.0)


def test_large_machines_are_searched_in_seconds() -> None:
    found = search(films(100, SimulatedFilm("v", 12, H200["LTXV 13B"], joint="overlap")), 256)
    assert found.winner.makespan_s <= 1.03 * found.winner.bound.seconds


def test_layouts_use_every_gpu_by_work() -> None:
    work_s = {Stage.ENCODE: 0.1, Stage.SAMPLE: 9.8, Stage.UPSCALE: 12.3, Stage.DECODE: 1.4}
    found = list(layouts(work_s, 256))
    assert len(found) < 50
    assert {topology.gpus for topology in found} == {256}
    assert str(found[0]).startswith("mono=256")
    assert "encode+decode=17,sample+upscale=239,segment=1" in map(str, found)


@pytest.mark.parametrize("gpus", [2, 4, pytest.param(8, marks=pytest.mark.long)])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_forced_splits_are_never_three_percent_slower_either(shape: tuple[int, int], gpus: int) -> None:
    some = films(shape[0], SimulatedFilm("v", shape[1], WITH_PROMPTS, joint="overlap"))
    footprint = Footprint(38.0, MODELS, WORKING)
    texts = every_deal(gpus, ("encode", "sample", "upscale", "decode"))
    splits = [
        topology
        for topology in (parse_topology(text, Machine(gpus, segment_workers=1)) for text in texts)
        if all(footprint.together_gib(pool.stages) <= 38.0 for pool in topology.pools if pool.gpus)
    ]
    best_s = shortest_s(list(job(some)), splits)
    assert search(some, gpus, footprint).winner.makespan_s <= 1.03 * best_s


def test_the_same_job_gets_the_same_topology_in_every_process() -> None:
    """Names are hashed anew in each."""
    script = (
        "from farm.topology.search import *; from farm.simulator.workload import *\n"
        "film = SimulatedFilm('film', 24, SLEEPS, joint='overlap')\n"
        "print(find_topology(job([film]), SearchConfig(Machine(4, segment_workers=1))).winner.topology)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 4, 5)
    }
    assert len(found) == 1


def test_fitting_asks_only_for_the_models_of_the_job() -> None:
    footprint = Footprint(20.0, MODELS, WORKING)
    mono = parse_topology("mono=2", Machine(2))
    assert list(fitting([mono], [Stage.DECODE], footprint)) == [(mono, False)]
    assert list(fitting([mono], [Stage.SAMPLE, Stage.DECODE], footprint)) == []
    assert list(fitting([Topology(())], [Stage.SAMPLE], None)) == [(Topology(()), False)]

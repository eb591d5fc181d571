"""How many workers encode segments, and what is said where they hold up the GPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.inventory import Inventory, NodeFacts
from farm.estimates.durations import Durations, Hardware, keep_durations, read_durations
from farm.scheduler.graph import ScheduleGraph
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.simulator.simulate import simulate
from farm.simulator.workload import H200, SimulatedFilm, StageTimes, films, job
from farm.topology.auto import choose_topology, remaining_facts, segment_warning
from farm.topology.bound import JobFacts, job_facts
from farm.topology.search import SearchConfig, find_topology
from farm.topology.segment_workers import bottleneck, staffed, topology_for
from farm.verbs.plan import PlanRequest, plan_job
from farm.workers.workforce import make_workforce
from jobs.loading.load import LoadedSpec, load_spec
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, Topology, parse_topology

ENCODED_S = 9.2
"""80 frames of 1536x1024 on one core."""

SMALL_2B = replace(H200["LTXV 2B"], segment_s=ENCODED_S)
LARGE_13B = replace(H200["LTXV 13B"], segment_s=ENCODED_S)


def many(times: StageTimes, count: int = 150, chunks: int = 5) -> list[SimulatedFilm]:
    return films(count, SimulatedFilm("v", chunks, times, joint="overlap"))


def facts_of(some: list[SimulatedFilm]) -> JobFacts:
    return job_facts(job(some))


def encoders(text: str, facts: JobFacts, cpus: float = float("inf")) -> int:
    return topology_for(text, Machine(4096, cpus=cpus), facts).workers(Stage.SEGMENT)


@pytest.mark.parametrize("times", [SMALL_2B, LARGE_13B], ids=["2B", "13B"])
def test_encoders_keep_up_with_many_gpus(times: StageTimes) -> None:
    some = many(times)
    graph, facts, machine = ScheduleGraph(job(some)), facts_of(some), Machine(32)

    def makespan_s(topology: Topology) -> float:
        return simulate(graph, topology).makespan_s

    endless_s = makespan_s(parse_topology("mono=32", replace(machine, segment_workers=1000)))
    sized = topology_for("mono=32", machine, facts)
    assert makespan_s(sized) <= 1.05 * endless_s
    assert sized.workers(Stage.SEGMENT) <= 64
    found = find_topology(job(some), SearchConfig(machine)).winner
    assert found.makespan_s <= 1.05 * endless_s


def test_the_work_decides_how_many() -> None:
    """Of one chunk: 6.6 s on a GPU beside 9.2 s on a core, then 23.5 s beside them."""
    assert 32 * ENCODED_S / 6.6 <= encoders("mono=32", facts_of(many(SMALL_2B, 1500))) <= 60
    assert 32 * ENCODED_S / 23.5 <= encoders("mono=32", facts_of(many(LARGE_13B, 1500))) <= 16
    assert encoders("mono=32", facts_of(many(replace(LARGE_13B, segment_s=0.2), 1500))) == 1


def test_what_all_gpus_end_with_is_encoded_soon_after() -> None:
    clips = facts_of(many(LARGE_13B, 24, 1))
    assert encoders("mono=4", clips) == 8
    assert encoders("mono=64", clips) == 24, "no more than there are segments"
    one_film = facts_of(many(LARGE_13B, 1, 60))
    assert encoders("mono=64", one_film) < 5, "no more than the GPUs that it keeps busy"


def test_cpus_bound_them() -> None:
    facts = facts_of(many(SMALL_2B))
    assert encoders("mono=32", facts, cpus=20) == 19, "one is the driver's"
    assert encoders("mono=8@0", facts, cpus=12) == 3, "workers without a GPU have one each"
    assert encoders("mono=4", facts, cpus=1) == 1


def test_a_named_number_stays() -> None:
    facts = facts_of(many(SMALL_2B))
    assert encoders("mono=32,segment=3", facts) == 3
    assert encoders("sample=8,upscale=8,decode+segment=16", facts) == 16


def test_only_segments_left_take_what_cpus_there_are() -> None:
    left = [replace(task, needs=()) for task in job(many(SMALL_2B, 6, 2)) if task.stage is Stage.SEGMENT]
    segments = parse_topology("segment=1", Machine(0))
    assert staffed(segments, Machine(0), job_facts(left)).workers(Stage.SEGMENT) == 12
    assert staffed(segments, Machine(0, cpus=5), job_facts(left)).workers(Stage.SEGMENT) == 4
    assert bottleneck(segments, Machine(0), job_facts(left)) == "", "no GPU waits"


def test_too_few_cpus_are_told_with_the_number_that_would_do() -> None:
    facts, machine = facts_of(many(SMALL_2B)), Machine(32, cpus=9)
    said = bottleneck(topology_for("mono=32", machine, facts), machine, facts)
    assert "with `segment=8` the job takes 869 s, where the GPUs need 164 s" in said
    assert f"`segment={encoders('mono=32', facts)}` would keep up. Add nodes with CPUs" in said
    assert "output.preset" in said
    assert bottleneck(topology_for("mono=32", Machine(32), facts), Machine(32), facts) == ""


def test_too_few_named_are_told_with_what_to_write() -> None:
    facts, machine = facts_of(many(SMALL_2B)), Machine(32, cpus=31)
    named = topology_for("mono=32,segment=4", machine, facts)
    assert "Write `segment=30`" in bottleneck(named, machine, facts)


def test_auto_takes_the_gpus_that_segments_keep_busy_and_says_what_the_others_could_do() -> None:
    some, machine = many(SMALL_2B, 20), Machine(8, cpus=4)
    facts, found = facts_of(some), find_topology(job(some), SearchConfig(machine))
    assert found.winner.topology.gpus < 4
    weighed = [each.topology for each in found.simulated]
    said = bottleneck(found.winner.topology, machine, facts, weighed)
    assert "with `segment=3`" in said
    assert f"`segment={encoders('mono=8', facts)}` would keep up" in said


def slow_segments(folder: Path, engine: str = "fake") -> LoadedSpec:
    """A job whose segments were measured to take three seconds; on the fake engine, beside one on a GPU."""
    chunks = [{"generate": {"prompt": "a boat", "num_frames": 17}}] * 4
    data = {
        "name": "harbor",
        "engine": {"name": engine, "fake": {"sample_s": 0.5, "decode_s": 0.5}},
        "defaults": {"width": 64, "height": 64},
        "videos": [{"name": f"take{n}", "chunks": chunks} for n in range(16)],
        "output": {"dir": str(folder / "out")},
    }
    loaded, known = load_spec(data), Durations()
    tasks = JobSession(loaded, Scope(str(folder / "elsewhere"))).graph.tasks.values()
    for task in tasks:
        if task.stage is Stage.SEGMENT:
            known.observe_step(Hardware(loaded.spec.engine, "cpu"), task, 3.0)
    keep_durations(str(folder / "runs"), known)
    return loaded


@pytest.mark.parametrize("cpus", [64, 6])
@pytest.mark.parametrize("text", ["mono", "auto", "sample=2,decode=2"])
def test_plan_and_render_take_the_same_number(tmp_path: Path, text: str, cpus: int) -> None:
    loaded, runs = slow_segments(tmp_path), str(tmp_path / "runs")
    planned = plan_job(loaded, PlanRequest(runs, gpus=4, cpus=cpus, topology=text))
    session, inventory = JobSession(loaded, Scope(runs)), Inventory((NodeFacts("n", "box", 4, cpus),))
    if text == "auto":
        text = str(choose_topology(session.remaining_work, inventory, None).winner.topology)
    facts = remaining_facts(session.remaining_work, inventory, text)
    workers = make_workforce(text, inventory, None, session.graph.stages, facts).hosts(Stage.SEGMENT)
    assert planned.topology.endswith(f"segment={len(workers)}")
    assert (len(workers) == 5) if cpus == 6 else (len(workers) > 8)
    assert any("segments are the bottleneck" in said for said in planned.warnings) == (cpus == 6)


@pytest.mark.parametrize(("engine", "device", "told"), [("fake", "cpu", True), ("diffusers", "L4", False)])
def test_nothing_is_told_on_times_of_another_device(
    tmp_path: Path, engine: str, device: str, told: bool
) -> None:
    """Until a stage was measured there, its GPUs' times are those of one H200."""
    session = JobSession(slow_segments(tmp_path, engine), Scope(str(tmp_path / "runs")))
    inventory = Inventory((NodeFacts("n", "box", 4, 2, None if device == "cpu" else device),))
    facts = remaining_facts(session.remaining_work, inventory, "mono")
    topology = make_workforce("mono", inventory, None, session.graph.stages, facts).topology
    assert bool(segment_warning(session.remaining_work, inventory, facts, topology, ())) == told
    known = read_durations(str(tmp_path / "runs"))
    sample = next(task for task in session.graph.tasks.values() if task.stage is Stage.SAMPLE)
    known.observe_step(Hardware(session.plan.engine, device), sample, 0.5)
    keep_durations(str(tmp_path / "runs"), known)
    facts = remaining_facts(session.remaining_work, inventory, "mono")
    assert segment_warning(session.remaining_work, inventory, facts, topology, ())

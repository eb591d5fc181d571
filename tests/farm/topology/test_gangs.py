"""When `auto` takes gangs: where chains leave GPUs idle, and how fast a gang is was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import topology_table
from farm.estimates.durations import Durations, Hardware, TaskTimes
from farm.simulator.simulate import SimulationConfig
from farm.simulator.workload import H200, SimulatedFilm, films, job
from farm.topology.candidates import layouts
from farm.topology.search import Found, SearchConfig, find_topology
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine

FILM = SimulatedFilm("v", 24, H200["LTXV 13B"], joint="still")
MEASURED = SimulationConfig(gang_speed={1: 1.0, 2: 1.8, 4: 3.0}.__getitem__)


def search(some: list[SimulatedFilm], gpus: int, *gangs: int, node_gpus: float = 8) -> Found:
    machine = Machine(gpus, node_gpus=node_gpus)
    return find_topology(job(some), SearchConfig(machine, simulation=MEASURED, gangs=gangs))


def test_one_film_on_many_gpus_is_sampled_by_a_gang() -> None:
    """Its first pass is a chain: three times as fast, with the second on the other cards."""
    alone, found = search([FILM], 8), search([FILM], 8, 2, 4)
    assert str(found.winner.topology).startswith("sample=1x4,upscale+decode=4")
    assert found.winner.makespan_s < alone.winner.makespan_s / 2
    assert found.winner.makespan_s >= found.winner.bound.seconds - 1e-6
    assert found.winner.makespan_s <= 1.06 * found.winner.bound.seconds
    assert "its chains leave GPUs idle, which gangs put to use" in found.reason


def test_gangs_stay_away_where_they_gain_nothing() -> None:
    for some, gpus, gangs, node in (
        (films(32, replace(FILM, chunks=1)), 8, (2, 4), 8),
        ([FILM], 8, (), 8),
        ([FILM], 8, (4,), 2),
    ):
        found = search(some, gpus, *gangs, node_gpus=node)
        assert not found.winner.topology.gangs
        assert found.winner.topology == search(some, gpus).winner.topology


@pytest.mark.parametrize("nodes", [(), (6, 6)], ids=["like nodes", "nodes"])
def test_all_gangs_find_a_node(nodes: tuple[int, ...]) -> None:
    """Two nodes of six GPUs hold two gangs of four, not three."""
    machine = Machine(12, node_gpus=6, nodes=nodes)
    some = films(3, replace(FILM, chunks=12))
    found = find_topology(job(some), SearchConfig(machine, simulation=MEASURED, gangs=(4,)))
    assert any(each.topology.gangs for each in found.simulated)
    for each in found.simulated:
        gangs = sum(pool.count for pool in each.topology.gangs if pool.ranks == 4)
        assert gangs <= 2, str(each.topology)


def test_small_nodes_hold_no_large_gang() -> None:
    machine = Machine(12, node_gpus=8, nodes=(8, 2, 2))
    assert machine.packs({4: 2, 2: 2})
    assert not machine.packs({4: 3})
    assert not machine.packs({8: 1, 4: 1})
    assert Machine(12).packs({4: 3})
    found = list(layouts({Stage.SAMPLE: 1.0}, 12, {4: 1.0}, machine))
    assert [str(each) for each in found] == ["mono=2x4,segment=1"]


UNGUIDED = {1: 1.0, 2: 1.08, 4: 1.5, 8: 2.0}
"""Of a small chunk with one forward a step."""


@pytest.mark.parametrize("speeds", [topology_table.GANG_SPEED, UNGUIDED], ids=["guided", "unguided"])
@pytest.mark.parametrize(
    ("model", "shape", "gpus", "small"),
    [
        ("LTXV 2B", "1 film of 24", 8, False),
        ("LTX-2", "2 films of 12", 4, False),
        ("LTXV 13B", "1 film of 24", 4, True),
        ("LTXV 13B", "2 films of 12", 8, True),
    ],
)
def test_never_three_percent_slower_than_the_best_of_all_splits_and_gangs(
    monkeypatch: pytest.MonkeyPatch,
    speeds: dict[int, float],
    model: str,
    shape: str,
    gpus: int,
    small: bool,
) -> None:
    """Gangs of one stage or of two, of different sizes, and where memory forces stages apart."""
    monkeypatch.setattr(topology_table, "GANG_SPEED", speeds)
    footprint = topology_table.small_footprint() if small else None
    row = topology_table.measure(model, shape, gpus, footprint)
    assert row.ratio <= topology_table.MOST_RATIO
    assert row.tried > 15


def test_what_was_measured_of_gangs() -> None:
    chunk = {"generate": {"prompt": "a", "num_frames": 9}}
    spec = JobSpec.model_validate({"name": "j", "videos": [{"name": "v", "chunks": [chunk]}]}, strict=False)
    tasks = build_graph(make_plan(spec)).tasks.values()
    sample = next(task for task in tasks if task.stage is Stage.SAMPLE)
    known, place = Durations(), Hardware(EngineConfig(name="comfyui"), "H200")
    assert known.gang_speed(place, 2) == pytest.approx(2**0.8)
    known.observe(place.shared_by(2), sample, TaskTimes(3.0))
    assert known.gang_sizes(place) == ()
    known.observe(place.shared_by(1), sample, TaskTimes(4.5))
    assert known.gang_sizes(place) == (2,)
    assert known.gang_speed(place, 2) == pytest.approx(1.5)
    assert known.gang_speed(place, 4) == pytest.approx(4**0.8)

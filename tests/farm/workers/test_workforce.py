"""From a topology's text to workers and what each asks of the cluster."""

from __future__ import annotations

import math

import pytest

from cluster.capacity import check_capacity
from cluster.inventory import Inventory, NodeFacts
from farm.simulator.workload import SimulatedFilm, StageTimes, films, job
from farm.topology.bound import job_facts
from farm.workers.workforce import gpus_named, make_workforce
from jobs.errors import CapacityError, UsageError
from jobs.tasks.task import Stage

EVERY = frozenset(Stage)
MADE = EVERY - {Stage.UPSCALE}
BOX = Inventory((NodeFacts("n", "box", gpus=4, cpus=16),))


def test_staged_pools() -> None:
    force = make_workforce("sample=2,upscale+decode=1,segment=2", BOX, None, EVERY)
    assert list(force.stages) == [
        "encode+sample-0",
        "encode+sample-1",
        "upscale+decode-0",
        "segment-0",
        "segment-1",
    ]
    assert [request.gpus for request in force.requests] == [1, 1, 1, 0, 0]
    assert [request.cpus for request in force.requests] == [0, 0, 0, 1, 1]
    assert force.hosts(Stage.DECODE) == {"upscale+decode-0"}


def test_mono_takes_what_there_is_or_what_is_asked_for() -> None:
    assert len(make_workforce("mono", BOX, None, EVERY).hosts(Stage.SAMPLE)) == 4
    assert len(make_workforce("mono", BOX, 2, EVERY).hosts(Stage.SAMPLE)) == 2


def test_pools_that_the_job_does_not_need_are_left_out() -> None:
    force = make_workforce("sample=1,upscale=1,decode=1", BOX, None, EVERY - {Stage.UPSCALE})
    assert not force.hosts(Stage.UPSCALE)


def test_stage_without_a_host() -> None:
    with pytest.raises(CapacityError, match="upscale"):
        make_workforce("sample=1,decode=1", BOX, None, EVERY)


@pytest.mark.parametrize(
    ("text", "gpus"), [("mono", 1), ("auto", 1), ("mono=3", 3), ("sample=2,decode=1@0.5", 3)]
)
def test_gpus_that_a_text_names(text: str, gpus: int) -> None:
    assert gpus_named(text) == gpus


def test_a_gang_asks_one_node_for_the_devices_of_all_its_ranks() -> None:
    two = Inventory(tuple(NodeFacts(f"n{n}", f"node-{n}", gpus=2, cpus=8) for n in range(2)))
    force = make_workforce("sample=2x2,decode=1@0", two, None, EVERY - {Stage.UPSCALE})
    (gang, *_) = force.requests
    assert (gang.gpus, gang.cpus, gang.ranks) == (2.0, 0.0, 2)
    assert str(gang) == "encode+sample-0 (a gang of 2, 2 GPU)"
    assert force.ranks("decode-0") == 1
    check_capacity(two, force.requests)
    with pytest.raises(UsageError, match="no node has more than 2 GPU"):
        make_workforce("sample=1x4,decode=1@0", two, None, EVERY - {Stage.UPSCALE})
    on_cpus = make_workforce("mono=1x2@0", two, None, EVERY).requests[0]
    assert (on_cpus.gpus, on_cpus.cpus) == (0.0, 2.0)


def test_gangs_are_placed_first() -> None:
    """While nodes have all their GPUs."""
    boxes = Inventory((NodeFacts("n", "box", 4, 64), NodeFacts("m", "other", 4, 64)))
    force = make_workforce("decode=2,sample=1x2,upscale=1x4", boxes, None, EVERY)
    assert [request.ranks for request in force.requests][:4] == [4, 2, 1, 1]


def test_encoders_for_the_work_as_far_as_whole_cpus_go() -> None:
    """Two seconds of encoding beside each on a GPU."""
    facts = job_facts(job(films(400, SimulatedFilm("v", 1, StageTimes(0.7, 0.0, 0.3, segment_s=2.0)))))
    nodes = tuple(NodeFacts(f"n{n}", f"node-{n}", gpus=8, cpus=24.5) for n in range(8))
    force = make_workforce("mono", Inventory(nodes), None, MADE, facts)
    assert len(force.hosts(Stage.SAMPLE)) == 64
    assert 128 <= len(force.hosts(Stage.SEGMENT)) <= 8 * 24 - 1
    few = make_workforce("mono", Inventory(nodes[:1]), None, MADE, facts)
    assert len(few.hosts(Stage.SEGMENT)) == 20
    crowded = Inventory((NodeFacts("n", "node", gpus=8, cpus=4.5),))
    assert len(make_workforce("mono", crowded, None, MADE, facts).hosts(Stage.SEGMENT)) == 3


def test_what_an_autoscaler_may_bring_counts() -> None:
    head, worker = NodeFacts("h", "head", 0, 4), NodeFacts("w", "w", 1, 8, "H100")
    clips = job_facts(job(films(40, SimulatedFilm("v", 1, StageTimes(0.7, 0.0, 0.3, segment_s=2.0)))))
    for there in ((head,), (head, worker)):
        force = make_workforce("mono", Inventory(there, 16.0, 128.0), None, MADE, clips)
        check_capacity(Inventory(there, 16.0, 128.0), force.requests)
        assert len(force.hosts(Stage.SAMPLE)) == 16
        assert len(force.hosts(Stage.SEGMENT)) >= 32, "CPUs come along"
        assert len(make_workforce("mono", Inventory(there, 16.0), 8, MADE, clips).hosts(Stage.SAMPLE)) == 8


def test_no_more_is_brought_than_the_job_has_use_for() -> None:
    clips = job_facts(job(films(40, SimulatedFilm("v", 1, StageTimes(0.7, 0.0, 0.3)))))
    endless = Inventory((NodeFacts("h", "head", 0, 4),), math.inf, math.inf)
    assert len(make_workforce("mono", endless, None, MADE, clips).hosts(Stage.SAMPLE)) == 40
    there = Inventory((NodeFacts("n", "box", 64, 64),), math.inf)
    assert len(make_workforce("mono", there, None, MADE, clips).hosts(Stage.SAMPLE)) == 64

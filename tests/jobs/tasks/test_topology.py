"""Topology text: what it means, how it prints, how it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import CapacityError, UsageError
from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, Machine, Pool, Topology, parse_topology

FOUR = Machine(gpus=4, segment_workers=2)


def pools(text: str, machine: Machine = FOUR) -> dict[str, tuple[int, float]]:
    return {pool.name: (pool.count, pool.gpus) for pool in parse_topology(text, machine).pools}


def test_mono_takes_every_gpu_and_leaves_segments_to_cpu_workers() -> None:
    topology = parse_topology("mono", FOUR)
    assert topology.pools == (
        Pool(frozenset(GPU_STAGES), 4, 1.0),
        Pool(frozenset({Stage.SEGMENT}), 2, 0.0),
    )
    assert str(topology) == "mono=4,segment=2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mono=2", {"mono": (2, 1.0), "segment": (2, 0.0)}),
        ("mono@0.5", {"mono": (8, 0.5), "segment": (2, 0.0)}),
        (
            "sample=2,upscale=1,decode=1",
            {"encode+sample": (2, 1.0), "upscale": (1, 1.0), "decode": (1, 1.0), "segment": (2, 0.0)},
        ),
        (
            "sample=3, upscale+decode=1",
            {"encode+sample": (3, 1.0), "upscale+decode": (1, 1.0), "segment": (2, 0.0)},
        ),
        (
            "sample=3,decode=2@0.5",
            {"encode+sample": (3, 1.0), "decode": (2, 0.5), "segment": (2, 0.0)},
        ),
        ("encode=1,sample=2", {"encode": (1, 1.0), "sample": (2, 1.0), "segment": (2, 0.0)}),
        ("sample=1@2,segment=5", {"encode+sample": (1, 2.0), "segment": (5, 0.0)}),
    ],
)
def test_text_means_pools(text: str, expected: dict[str, tuple[int, float]]) -> None:
    assert pools(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a pool"),
        ("sample", "say how many workers"),
        ("sample=two", "is not a pool"),
        ("smaple=2", "`smaple` is not a stage"),
        ("sample=0,decode=1", "at least one worker"),
        ("sample=1@1.5", "whole GPUs"),
        ("sample=5", "at most 4 GPU; this asks for 5"),
        ("sample=2;decode=1", "is not a pool"),
        ("auto", "`auto` is not a stage"),
    ],
)
def test_bad_text_names_the_rule_and_the_remedy(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_topology(text, FOUR)
    assert said in str(caught.value)
    assert "remedy:" in str(caught.value)


def test_mono_without_gpus_says_what_to_give() -> None:
    with pytest.raises(UsageError, match="--gpus N"):
        parse_topology("mono", Machine(gpus=0))


def test_a_stage_that_nobody_hosts_is_an_error_with_its_remedy() -> None:
    topology = parse_topology("sample=2,decode=1", FOUR)
    topology.require({Stage.SAMPLE, Stage.DECODE, Stage.ENCODE, Stage.SEGMENT})
    with pytest.raises(CapacityError, match=r"needs upscale.*add `upscale=1`"):
        topology.require({Stage.SAMPLE, Stage.UPSCALE})


def test_a_pool_that_the_job_never_uses_is_named() -> None:
    topology = parse_topology("sample=2,upscale=1,decode=1", FOUR)
    idle = topology.idle_pools({Stage.ENCODE, Stage.SAMPLE, Stage.DECODE, Stage.SEGMENT})
    assert [pool.name for pool in idle] == ["upscale"]


def test_workers_are_counted_over_all_pools_that_host_the_stage() -> None:
    topology = parse_topology("mono=2,decode=2@0.5,sample=1", FOUR)
    assert topology.workers(Stage.DECODE) == 4
    assert topology.workers(Stage.SAMPLE) == 3
    assert topology.gpus == 4


def test_a_gang_is_one_worker_of_several_ranks() -> None:
    topology = parse_topology("sample=2x2,decode=1@0", FOUR)
    (gang,) = topology.gangs
    assert (gang.count, gang.ranks, gang.gpus, gang.worker_gpus) == (2, 2, 1.0, 2.0)
    assert topology.workers(Stage.SAMPLE) == 2
    assert topology.gpus == 4
    assert str(topology) == "sample=2x2,decode=1@0,segment=2"
    assert parse_topology("mono=1x4", FOUR).gpus == 4
    assert parse_topology("sample=1x3@0", Machine(0)).gpus == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample=1x0", "1 to 16 ranks"),
        ("sample=1x17", "1 to 16 ranks"),
        ("sample=2x3", "at most 4 GPU; this asks for 6"),
        ("sample=1x4@0.5", "a GPU of its own, or none"),
        ("sample=1x2@2", "a GPU of its own, or none"),
        ("sample=1,decode=1x2", "share the steps of sample and upscale"),
        ("sample=1x", "is not a pool"),
        ("samplex2", "is not a pool"),
    ],
)
def test_a_bad_gang_names_the_rule_and_the_remedy(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_topology(text, FOUR)
    assert said in str(caught.value)
    assert "remedy:" in str(caught.value)


def test_a_gang_is_of_one_node() -> None:
    machine = Machine(gpus=8, node_gpus=2)
    parse_topology("sample=4x2", machine)
    with pytest.raises(UsageError, match="no node has more than 2 GPU"):
        parse_topology("sample=1x4", machine)


stage_sets = st.frozensets(st.sampled_from(GPU_STAGES), min_size=1)
gpu_pools = st.one_of(
    st.builds(Pool, stage_sets, st.integers(1, 9), st.sampled_from([0.25, 0.5, 1.0, 2.0])),
    st.builds(Pool, st.just(frozenset(GPU_STAGES)), st.integers(1, 9), st.just(1.0), st.integers(1, 16)),
)


@given(st.lists(gpu_pools, min_size=1, max_size=4), st.integers(1, 4))
def test_printed_text_parses_to_the_same_topology(some: list[Pool], segments: int) -> None:
    topology = Topology((*some, Pool(frozenset({Stage.SEGMENT}), segments, 0.0)))
    machine = Machine(gpus=1000, segment_workers=7)
    if any(Stage.ENCODE in pool.stages for pool in some) or not topology.workers(Stage.SAMPLE):
        assert parse_topology(str(topology), machine) == topology

"""When the loss of nodes, or of the head, ends a render."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cluster.inventory import Inventory, NodeFacts, WorkerRequest
from farm.workers import outage
from farm.workers.outage import Outage, Patience

WORKER = WorkerRequest("mono-0", gpus=1.0)


class Cluster:
    """A pool and a Ray session, as the outage sees them."""

    def __init__(self, local: bool = False) -> None:
        self.local, self.address = local, "head:6379"
        self.waiting: tuple[WorkerRequest, ...] = ()
        self.listening = True

    def stranded(self) -> tuple[WorkerRequest, ...]:
        return self.waiting

    def head_listens(self) -> bool:
        return self.listening


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look happens three seconds after the one before."""
    ticks = itertools.count(100.0, 1.0)
    monkeypatch.setattr(outage.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(outage, "LOOK_S", 0.0)
    nodes = (NodeFacts("n", "vm", gpus=0, cpus=2),)
    monkeypatch.setattr(outage, "read_inventory", lambda: Inventory(nodes))


def watched(cluster: Any, node_s: float = 20.0) -> Outage:
    return Outage(cluster, cluster, Patience(node_s, head_s=20.0), "farm resume harbor")


def looks(watch: Outage, count: int) -> list[str]:
    return [said for _ in range(count) for said in watch.look()]


@pytest.mark.usefixtures("clock")
def test_a_lost_node_is_waited_for_and_then_ends_the_render() -> None:
    cluster = Cluster()
    watch = watched(cluster)
    assert looks(watch, 3) == []
    cluster.waiting = (WORKER,)
    (said,) = looks(watch, 2)
    assert "no sign of a node that can hold mono-0 (1 GPU) (the cluster has vm: 0 GPU, 2 CPU)" in said
    assert "pauses unless it comes back within 20 s" in said
    assert watch.cause == ""
    looks(watch, 20)
    assert watch.cause.endswith("Start it again, then continue with `farm resume harbor`")


@pytest.mark.usefixtures("clock")
def test_a_node_that_comes_back_is_forgiven() -> None:
    cluster = Cluster()
    watch = watched(cluster)
    for _ in range(10):
        cluster.waiting = (WORKER,)
        assert len(looks(watch, 3)) == 1
        cluster.waiting = ()
        looks(watch, 1)
    assert watch.cause == ""


@pytest.mark.usefixtures("clock")
def test_the_loss_of_the_renders_own_ray_is_final_at_once() -> None:
    cluster = Cluster(local=True)
    cluster.waiting = (WORKER,)
    watch = watched(cluster)
    assert looks(watch, 1) == []
    assert watch.cause.startswith("this render's own Ray has failed")


@pytest.mark.usefixtures("clock")
def test_a_head_that_does_not_listen_ends_the_render() -> None:
    cluster = Cluster()
    cluster.listening = False
    watch = watched(cluster)
    assert looks(watch, 30)[0].startswith("no sign of the Ray head at head:6379")
    assert "no sign of the Ray head" in watch.cause

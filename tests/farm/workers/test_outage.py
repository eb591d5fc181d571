"""When the loss of nodes, or of the head, ends a render."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from cluster.inventory import NodeFacts, WorkerRequest
from cluster.local.cluster import LocalCluster
from farm.workers.outage import Outage, Patience

WORKER = WorkerRequest("mono-0", gpus=1.0)


class StrandedPool:
    """A pool, as the outage sees it: what waits for a node is what the test says."""

    def __init__(self, local: bool = False) -> None:
        self.cluster = LocalCluster([NodeFacts("n", "vm", gpus=0, cpus=2)], local=local)
        self.waiting: tuple[WorkerRequest, ...] = ()

    def stranded(self) -> tuple[WorkerRequest, ...]:
        return self.waiting


def watched(pool: Any, node_s: float = 20.0) -> Outage:
    return Outage(pool, Patience(node_s, head_s=20.0), "farm resume harbor")


def looks(watch: Outage, count: int) -> list[str]:
    """What is said at so many looks, three seconds apart."""
    said: list[str] = []
    for _ in range(count):
        watch.cluster.wait(SimpleQueue(), 3.0)
        said += watch.look()
    return said


def test_a_lost_node_is_waited_for_and_then_ends_the_render() -> None:
    pool = StrandedPool()
    watch = watched(pool)
    assert looks(watch, 3) == []
    pool.waiting = (WORKER,)
    (said,) = looks(watch, 2)
    assert "no sign of a node that can hold mono-0 (1 GPU) (the cluster has vm: 0 GPU, 2 CPU)" in said
    assert "pauses unless it comes back within 20 s" in said
    assert watch.cause == ""
    looks(watch, 20)
    assert watch.cause.endswith("Start it again, then continue with `farm resume harbor`")


def test_a_node_that_comes_back_is_forgiven() -> None:
    pool = StrandedPool()
    watch = watched(pool)
    for _ in range(10):
        pool.waiting = (WORKER,)
        assert len(looks(watch, 3)) == 1
        pool.waiting = ()
        looks(watch, 1)
    assert watch.cause == ""


def test_the_loss_of_the_renders_own_ray_is_final_at_once() -> None:
    pool = StrandedPool(local=True)
    pool.waiting = (WORKER,)
    watch = watched(pool)
    assert looks(watch, 1) == []
    assert watch.cause.startswith("this render's own Ray has failed")


def test_a_head_that_does_not_listen_ends_the_render() -> None:
    pool = StrandedPool()
    pool.cluster.listening = False
    watch = watched(pool)
    assert looks(watch, 30)[0].startswith("no sign of the Ray head at here:6379")
    assert "no sign of the Ray head" in watch.cause

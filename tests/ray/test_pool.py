"""What a pool is promised by Ray, against a trivial worker. `tests/cluster/pool` holds the rest."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cluster.device_memory import local_memory_gib
from cluster.inventory import Inventory, NodeFacts, WorkerRequest, read_inventory
from cluster.pool.events import Done, Failed, Lost, PoolEvent, Ready, TaskCall, Waiting
from cluster.pool.pool import PoolConfig, WorkerPool
from jobs.errors import FailureKind

if TYPE_CHECKING:
    from cluster.base import Cluster


def worker_class() -> type:
    """A class that workers receive by value: nothing of the test suite is imported there."""
    import os as _os
    import time as _time

    import numpy as _np

    from jobs.errors import BadOutput as _BadOutput

    failures = {"bad": _BadOutput("a black frame; look at the seed"), "bug": KeyError("no such key")}

    class Trivial:
        def __init__(self, config: dict[str, Any]) -> None:
            self.config = config
            self.payloads: dict[str, Any] = {}

        def setup(self) -> dict[str, Any]:
            _time.sleep(self.config.get("setup_s", 0))
            return {"loaded": True, "visible": _os.environ.get("CUDA_VISIBLE_DEVICES")}

        def run(self, order: dict[str, Any], cached: Any) -> Any:
            _time.sleep(order.get("sleep_s", 0))
            kind = order.get("do")
            if kind in failures:
                raise failures[kind]
            if kind == "make":
                self.payloads[order["task"]] = _np.full(order["size"], 7, dtype=_np.uint8)
                return "made"
            if kind == "read":
                held = cached.get(order["of"])
                return None if held is None else int(held.sum())
            return _os.getpid() if kind == "pid" else order

        def payload(self, task: str) -> Any:
            return self.payloads.get(task)

        def destroy(self) -> None:
            self.payloads.clear()

    return Trivial


Started = Callable[..., WorkerPool]


@contextmanager
def pools(cluster: Cluster) -> Iterator[Started]:
    """Starts pools, and closes them."""
    begun: list[WorkerPool] = []

    def begin(
        *requests: WorkerRequest, ready: bool = True, worker: dict[str, Any] | None = None, **config: Any
    ) -> WorkerPool:
        pool = WorkerPool(
            cluster, worker_class(), lambda _request, _placement: worker or {}, PoolConfig(**config)
        )
        begun.append(pool)
        pool.start(requests)
        if ready:
            collect(pool, Ready, len(requests))
        return pool

    yield begin
    for pool in begun:
        pool.close()


@pytest.fixture
def start(ray_session: Cluster) -> Iterator[Started]:
    with pools(ray_session) as begin:
        yield begin


@pytest.fixture(scope="module")
def crowd(ray_session: Cluster) -> Iterator[WorkerPool]:
    """Two workers on GPUs of their own, two on halves of one, one without; nobody may end them."""
    halves = [WorkerRequest(name, gpus=0.5) for name in ("a", "b")]
    with pools(ray_session) as begin:
        yield begin(*one_gpu(2), *halves, WorkerRequest("segment", cpus=1))


def collect(pool: WorkerPool, kind: type[PoolEvent], count: int = 1, within_s: float = 60) -> list[Any]:
    """All events up to the `count`-th of a kind; only those of the kind are returned."""
    found: list[PoolEvent] = []
    until = time.monotonic() + within_s
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} {kind.__name__} after {within_s} s"
        found += [event for event in pool.wait(0.5) if isinstance(event, kind)]
    return found


def one_gpu(count: int) -> list[WorkerRequest]:
    return [WorkerRequest(f"w{i}", gpus=1) for i in range(count)]


def test_each_worker_is_a_process_that_sees_its_own_device(crowd: WorkerPool) -> None:
    placed = {name: crowd.placement(name) for name in ("w0", "w1", "a", "b", "segment")}
    assert len({placement.pid for placement in placed.values() if placement}) == 5
    assert {placement.device for placement in placed.values() if placement} == {"cpu"}
    visible = {name: placement.visible_devices for name, placement in placed.items() if placement}
    assert visible["a"] == visible["b"]
    assert len({visible[name] for name in ("w0", "w1", "a")}) == 3
    assert all(str(visible[name]).isdigit() for name in ("w0", "w1", "a"))
    segment = placed["segment"]
    assert segment is not None
    assert segment.gpu_ids == ()


def test_failures_keep_their_kind_and_the_worker(crowd: WorkerPool) -> None:
    crowd.submit("w0", TaskCall("t1", {"do": "bad"}))
    crowd.submit("w0", TaskCall("t2", {"do": "bug"}))
    failed = {event.call.task: event for event in collect(crowd, Failed, 2)}
    bad, bug = failed["t1"], failed["t2"]
    assert bad.failure.kind is FailureKind.BAD_OUTPUT
    assert bad.failure.message == "a black frame; look at the seed"
    assert bug.failure.kind is FailureKind.BUG
    assert "no such key" in bug.failure.message
    assert "KeyError" in bug.failure.traceback
    crowd.submit("w0", TaskCall("t3", {"do": "pid"}))
    collect(crowd, Done, 1)


@pytest.mark.parametrize("size", [100, 4_000_000])
def test_payloads_go_from_worker_to_worker(crowd: WorkerPool, size: int) -> None:
    crowd.submit("w0", TaskCall("t1", {"do": "make", "task": "t1", "size": size}, share=True))
    collect(crowd, Done)
    assert crowd.shared() == {"t1"}
    crowd.submit("w1", TaskCall("t2", {"do": "read", "of": "t1"}, uses=("t1",)))
    (done,) = collect(crowd, Done)
    assert done.result == 7 * size
    crowd.drop("t1")
    crowd.submit("w1", TaskCall("t3", {"do": "read", "of": "t1"}, uses=("t1",)))
    (done,) = collect(crowd, Done)
    assert done.result is None


def test_death_is_told_once_with_all_its_calls(start: Started) -> None:
    pool = start(*one_gpu(1))
    first = pool.placement("w0")
    assert first is not None
    for task in ("t1", "t2"):
        pool.submit("w0", TaskCall(task, {"sleep_s": 30}))
    assert pool.busy("w0") == ("t1", "t2")
    os.kill(first.pid, signal.SIGKILL)
    (lost,) = collect(pool, Lost)
    assert [call.task for call in lost.calls] == ["t1", "t2"]
    assert lost.failure.kind is FailureKind.WORKER_LOST
    assert pool.wait(0.5) == []
    pool.replace("w0")
    (ready,) = collect(pool, Ready)
    assert ready.placement.incarnation == 2
    assert ready.placement.pid != first.pid


def test_idle_death_is_noticed_and_what_it_kept_reads_as_absent(start: Started) -> None:
    pool = start(*one_gpu(2), ping_s=0.2)
    placement = pool.placement("w0")
    assert placement is not None
    pool.submit("w0", TaskCall("t1", {"do": "make", "task": "t1", "size": 1_000_000}, share=True))
    collect(pool, Done)
    os.kill(placement.pid, signal.SIGKILL)
    (lost,) = collect(pool, Lost, within_s=10)
    assert lost.calls == ()
    ends_s, results = time.monotonic() + 15, [0]
    while results[-1] is not None:
        assert time.monotonic() < ends_s, "the node still has it"
        begun_s = time.monotonic()
        pool.submit("w1", TaskCall("t2", {"do": "read", "of": "t1"}, uses=("t1",)))
        results += [done.result for done in collect(pool, Done)]
        assert time.monotonic() - begun_s < 10


def test_stopped_process_is_fenced_by_its_incarnation(start: Started) -> None:
    """It holds every GPU until it is gone, and answers no probe."""
    pool = start(WorkerRequest("w0", gpus=5))
    placement = pool.placement("w0")
    assert placement is not None
    pool.submit("w0", TaskCall("t1", {"sleep_s": 0.2, "do": "pid"}))
    os.kill(placement.pid, signal.SIGSTOP)
    try:
        assert not pool.probe("w0")
        assert pool.wait(0.5) == []
        assert pool.probe("w0"), "the second one replaces it"
        collect(pool, Ready)
        pool.submit("w0", TaskCall("t1", {"do": "pid"}))
        (done,) = collect(pool, Done)
    finally:
        _continue(placement.pid)
    assert done.result != placement.pid
    assert pool.wait(0.5) == []


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


@pytest.mark.usefixtures("crowd")
def test_busy_cluster_is_waited_for_saying_so(start: Started) -> None:
    """The crowd has three GPUs of eight."""
    holder = start(WorkerRequest("holder", gpus=5))
    second = start(WorkerRequest("late", gpus=1), ready=False, place_notice_s=0.5)
    (waiting, *_) = collect(second, Waiting)
    assert "late (1 GPU)" in waiting.message
    assert "0 GPU" in waiting.message
    holder.kill("holder")
    collect(second, Ready)


def test_nodes_are_asked_and_keep_their_types_word_where_they_cannot_tell(ray_session: Cluster) -> None:
    """The one node has no driver; another went away between the listing and the question."""
    here = tuple(replace(node, accelerator="H100") for node in read_inventory().nodes)
    gone = NodeFacts("0" * 56, "gone", 1, 1, "L4")
    asked = ray_session.with_memory(Inventory((*here, gone)))
    assert [node.device_gib for node in asked.nodes] == [local_memory_gib()] * len(here) + [None]
    assert asked.device_gib(every=True) == 24.0

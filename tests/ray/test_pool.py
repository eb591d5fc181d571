"""The pool against a trivial worker: life, death and hand-over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.device_memory import local_memory_gib, with_memory
from cluster.inventory import Inventory, NodeFacts, WorkerRequest, check_capacity, read_inventory
from cluster.pool import Pool, PoolConfig
from cluster.pool_events import Alive, Call, Done, Failed, Lost, Placed, PoolEvent, Ready, Waiting
from cluster.session import Session
from cluster.storage import plant, uproot
from jobs.errors import CapacityError, FailureKind


def worker_class() -> type:
    """A class that workers receive by value: nothing of the test suite is imported there."""
    import os as _os
    import time as _time

    import numpy as _np

    from jobs.errors import BadOutput as _BadOutput

    class Trivial:
        def __init__(self, config: dict) -> None:
            self.config = config
            self.payloads: dict = {}

        def setup(self) -> dict:
            _time.sleep(self.config.get("setup_s", 0))
            return {"loaded": True, "visible": _os.environ.get("CUDA_VISIBLE_DEVICES")}

        def run(self, order: dict, cached: Any) -> Any:
            _time.sleep(order.get("sleep_s", 0))
            kind = order.get("do")
            if kind == "bad":
                raise _BadOutput("a black frame; look at the seed")
            if kind == "bug":
                raise KeyError("no such key")
            if kind == "pid":
                return _os.getpid()
            if kind == "make":
                self.payloads[order["task"]] = _np.full(order["size"], 7, dtype=_np.uint8)
                return "made"
            if kind == "read":
                held = cached.get(order["of"])
                return None if held is None else int(held.sum())
            return order

        def payload(self, task: str) -> Any:
            return self.payloads.get(task)

    return Trivial


Started = Callable[..., Pool]


@pytest.fixture
def start(ray_session: Session) -> Iterator[Started]:
    pools: list[Pool] = []

    def begin(
        *requests: WorkerRequest, ready: bool = True, worker: dict | None = None, **config: Any
    ) -> Pool:
        pool = Pool(worker_class(), lambda request, placement: worker or {}, PoolConfig(**config))
        pools.append(pool)
        pool.start(requests)
        if ready:
            collect(pool, Ready, len(requests))
        return pool

    yield begin
    for pool in pools:
        pool.close()


def collect(pool: Pool, kind: type[PoolEvent], count: int = 1, within_s: float = 60) -> list[Any]:
    """All events up to the `count`-th of a kind; only those of the kind are returned."""
    found: list[PoolEvent] = []
    until = time.monotonic() + within_s
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} {kind.__name__} after {within_s} s"
        found += [event for event in pool.wait(0.5) if isinstance(event, kind)]
    return found


def one_gpu(count: int) -> list[WorkerRequest]:
    return [WorkerRequest(f"w{i}", gpus=1) for i in range(count)]


def test_two_phases_then_calls(start: Started) -> None:
    pool = start(*one_gpu(2), ready=False, worker={"setup_s": 0.3})
    events: list[PoolEvent] = []
    while sum(isinstance(event, Ready) for event in events) < 2:
        events += pool.wait(10)
    assert [type(event) for event in events if event.worker == "w0"] == [Placed, Ready]
    assert all(event.seconds >= 0.3 for event in events if isinstance(event, Ready))
    pool.submit("w0", Call("t1", {"x": 1}))
    (done,) = collect(pool, Done)
    assert (done.worker, done.call.task, done.result) == ("w0", "t1", {"x": 1})


def test_nobody_loads_before_all_have_a_place(start: Started) -> None:
    """So a node that does not share the storage is found before anything is rendered."""
    pool = start(*one_gpu(4), ready=False)
    events: list[PoolEvent] = []
    while sum(isinstance(event, Ready) for event in events) < 4:
        events += pool.wait(10)
    kinds = [type(event) for event in events]
    assert kinds.index(Ready) > max(at for at, kind in enumerate(kinds) if kind is Placed)


def test_a_busy_cluster_starts_with_what_it_has(start: Started) -> None:
    begun = time.monotonic()
    pool = start(*one_gpu(9), ready=False, gather_s=3.0)
    collect(pool, Ready, 8)
    assert time.monotonic() - begun >= 3.0


def test_each_worker_sees_its_own_device(start: Started) -> None:
    pool = start(*one_gpu(8), WorkerRequest("segment", cpus=1))
    placements = [pool.placement(f"w{i}") for i in range(8)]
    visible = [placement.visible_devices for placement in placements if placement]
    assert sorted(visible) == [str(i) for i in range(8)]
    assert len({placement.pid for placement in placements if placement}) == 8
    assert {placement.device for placement in placements if placement} == {"cpu"}
    segment = pool.placement("segment")
    assert segment is not None
    assert segment.gpu_ids == ()


def test_halves_share_a_device(start: Started) -> None:
    pool = start(WorkerRequest("a", gpus=0.5), WorkerRequest("b", gpus=0.5), *one_gpu(7))
    a, b = pool.placement("a"), pool.placement("b")
    assert a is not None and b is not None
    assert a.visible_devices == b.visible_devices


def test_failures_keep_their_kind_and_the_worker(start: Started) -> None:
    pool = start(*one_gpu(1))
    pool.submit("w0", Call("t1", {"do": "bad"}))
    pool.submit("w0", Call("t2", {"do": "bug"}))
    failed = {event.call.task: event for event in collect(pool, Failed, 2)}
    bad, bug = failed["t1"], failed["t2"]
    assert bad.failure.kind is FailureKind.BAD_OUTPUT
    assert bad.failure.message == "a black frame; look at the seed"
    assert bug.failure.kind is FailureKind.BUG
    assert "no such key" in bug.failure.message
    assert "KeyError" in bug.failure.traceback
    pool.submit("w0", Call("t3", {"do": "pid"}))
    collect(pool, Done, 1)


def test_death_is_told_once_with_all_its_calls_and_replaced_on_demand(start: Started) -> None:
    pool = start(*one_gpu(1))
    first = pool.placement("w0")
    assert first is not None
    for task in ("t1", "t2"):
        pool.submit("w0", Call(task, {"sleep_s": 30}))
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


def test_idle_death_is_noticed(start: Started) -> None:
    pool = start(*one_gpu(1), ping_s=0.2)
    placement = pool.placement("w0")
    assert placement is not None
    os.kill(placement.pid, signal.SIGKILL)
    (lost,) = collect(pool, Lost, within_s=10)
    assert lost.calls == ()


def test_kill_returns_the_calls_and_silences_the_incarnation(start: Started) -> None:
    pool = start(*one_gpu(1))
    pool.submit("w0", Call("t1", {"sleep_s": 30}))
    assert [call.task for call in pool.kill("w0")] == ["t1"]
    assert pool.wait(1.0) == []
    pool.probe("w0")
    collect(pool, Ready)
    pool.probe("w0")
    collect(pool, Alive)


def test_stopped_process_is_fenced_by_its_incarnation(start: Started) -> None:
    """It holds every GPU until it is gone."""
    pool = start(WorkerRequest("w0", gpus=8))
    placement = pool.placement("w0")
    assert placement is not None
    pool.submit("w0", Call("t1", {"sleep_s": 0.2, "do": "pid"}))
    os.kill(placement.pid, signal.SIGSTOP)
    try:
        pool.replace("w0")
        collect(pool, Ready)
        pool.submit("w0", Call("t1", {"do": "pid"}))
        (done,) = collect(pool, Done)
    finally:
        _continue(placement.pid)
    assert done.result != placement.pid
    assert pool.wait(1.0) == []


def test_a_probe_of_a_worker_that_loads_is_answered_when_it_has_loaded(start: Started) -> None:
    """Until then it could only fail what it is given."""
    pool = start(*one_gpu(1), ready=False, worker={"setup_s": 1.0})
    collect(pool, Placed)
    pool.probe("w0")
    events: list[PoolEvent] = []
    while not events:
        events = pool.wait(5)
    assert [type(event) for event in events] == [Ready]


def test_a_worker_that_does_not_answer_a_probe_is_replaced_by_the_next(start: Started) -> None:
    pool = start(*one_gpu(1))
    placement = pool.placement("w0")
    assert placement is not None
    os.kill(placement.pid, signal.SIGSTOP)
    try:
        pool.probe("w0")
        assert pool.wait(1.0) == []
        pool.probe("w0")
        (ready,) = collect(pool, Ready)
    finally:
        _continue(placement.pid)
    assert ready.placement.pid != placement.pid


def test_a_task_for_a_worker_that_has_just_died_is_not_kept(start: Started) -> None:
    """Whoever schedules reads of the death after what came before it."""
    pool = start(*one_gpu(1))
    placement = pool.placement("w0")
    assert placement is not None
    pool.submit("w0", Call("t1", {"sleep_s": 30}))
    os.kill(placement.pid, signal.SIGKILL)
    collect(pool, Lost)
    pool.submit("w0", Call("t2", {}))
    assert pool.busy("w0") == ()
    assert pool.wait(1.0) == []
    pool.replace("w0")
    collect(pool, Ready)


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("size", [100, 4_000_000])
def test_payloads_go_from_worker_to_worker(start: Started, size: int) -> None:
    pool = start(*one_gpu(2))
    pool.submit("w0", Call("t1", {"do": "make", "task": "t1", "size": size}, share=True))
    collect(pool, Done)
    assert pool.shared() == {"t1"}
    pool.submit("w1", Call("t2", {"do": "read", "of": "t1"}, uses=("t1",)))
    (done,) = collect(pool, Done)
    assert done.result == 7 * size
    pool.drop("t1")
    pool.submit("w1", Call("t3", {"do": "read", "of": "t1"}, uses=("t1",)))
    (done,) = collect(pool, Done)
    assert done.result is None


def test_payload_of_a_dead_worker_reads_as_absent(start: Started) -> None:
    pool = start(*one_gpu(2))
    placement = pool.placement("w0")
    assert placement is not None
    pool.submit("w0", Call("t1", {"do": "make", "task": "t1", "size": 1_000_000}, share=True))
    collect(pool, Done)
    os.kill(placement.pid, signal.SIGKILL)
    collect(pool, Lost, within_s=15)
    begun = time.monotonic()
    pool.submit("w1", Call("t2", {"do": "read", "of": "t1"}, uses=("t1",)))
    (done,) = collect(pool, Done)
    assert done.result is None
    assert time.monotonic() - begun < 10


def test_slow_load_is_killed_at_its_deadline(start: Started) -> None:
    pool = start(*one_gpu(1), ready=False, worker={"setup_s": 60}, load_deadline_s=1.0)
    (lost,) = collect(pool, Lost, within_s=20)
    assert lost.failure.kind is FailureKind.HANG
    assert "1 s" in lost.failure.message


def test_worker_that_does_not_share_the_storage_is_refused(start: Started, tmp_path: Path) -> None:
    proof = plant([str(tmp_path)])
    uproot(proof)
    pool = start(*one_gpu(1), ready=False, proof=proof)
    (lost,) = collect(pool, Lost)
    assert lost.failure.kind is FailureKind.INVALID
    assert "not shared" in lost.failure.message


def test_busy_cluster_is_waited_for_saying_so(start: Started) -> None:
    holder = start(*one_gpu(8))
    second = start(WorkerRequest("late", gpus=1), ready=False, place_notice_s=0.5)
    (waiting, *_) = collect(second, Waiting)
    assert "late (1 GPU)" in waiting.message
    assert "0 GPU" in waiting.message
    holder.kill("w3")
    collect(second, Ready)


def test_too_many_gpus_is_an_error_at_once(ray_session: Session) -> None:
    begun = time.monotonic()
    with pytest.raises(CapacityError, match=r"9 GPU.*8 GPU"):
        check_capacity(read_inventory(), one_gpu(9))
    assert time.monotonic() - begun < 10


def test_nodes_are_asked_and_keep_their_types_word_where_they_cannot_tell(ray_session: Session) -> None:
    """The one node has no driver; another went away between the listing and the question."""
    here = tuple(replace(node, accelerator="H100") for node in read_inventory().nodes)
    gone = NodeFacts("0" * 56, "gone", 1, 1, "L4")
    asked = with_memory(Inventory((*here, gone)))
    assert [node.device_gib for node in asked.nodes] == [local_memory_gib()] * len(here) + [None]
    assert asked.device_gib(every=True) == 24.0

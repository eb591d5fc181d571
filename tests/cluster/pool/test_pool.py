"""The pool on a cluster that is made up: life, death and hand-over. `tests/ray` holds Ray to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.inventory import NodeFacts, WorkerRequest
from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash, Hang
from cluster.pool.events import Alive, Done, Failed, Lost, Placed, PoolEvent, Ready, TaskCall, Waiting
from cluster.pool.pool import PoolConfig, WorkerPool
from cluster.storage import plant, uproot
from jobs.errors import BadOutput, FailureKind


class Trivial:
    """A worker that does what its orders say."""

    def __init__(self, config: Any) -> None:
        self.payloads: dict[str, bytes] = {}

    def setup(self) -> dict[str, Any]:
        return {"loaded": True}

    def run(self, order: dict[str, Any], cached: Mapping[str, Any]) -> Any:
        match order.get("do"):
            case "bad":
                raise BadOutput("a black frame; look at the seed")
            case "bug":
                raise KeyError("no such key")
            case "make":
                self.payloads[order["task"]] = b"made"
            case "read":
                return cached.get(order["of"])
        return order

    def payload(self, task: str) -> Any:
        return self.payloads.get(task)

    def destroy(self) -> None:
        self.payloads.clear()


class Started:
    """Pools on one cluster."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster

    def __call__(self, *requests: WorkerRequest, ready: bool = True, **config: Any) -> WorkerPool:
        pool = WorkerPool(self.cluster, Trivial, lambda _request, _placement: {}, PoolConfig(**config))
        pool.start(requests)
        if ready:
            collect(pool, Ready, len(requests))
        return pool


def on(*dooms: Doom, **cluster: Any) -> Started:
    return Started(LocalCluster(fates=Dooms(*dooms), **cluster))


def collect(pool: WorkerPool, kind: type[PoolEvent], count: int = 1) -> list[Any]:
    """All events up to the `count`-th of a kind; only those of the kind are returned."""
    found: list[PoolEvent] = []
    while len(found) < count:
        found += [event for event in pool.wait(60.0) if isinstance(event, kind)]
    return found


def one_gpu(count: int) -> list[WorkerRequest]:
    return [WorkerRequest(f"w{i}", gpus=1) for i in range(count)]


def test_two_phases_then_calls() -> None:
    pool = on(load_s=3.0)(*one_gpu(2), ready=False)
    events: list[PoolEvent] = []
    while sum(isinstance(event, Ready) for event in events) < 2:
        events += pool.wait(10)
    assert [type(event) for event in events if event.worker == "w0"] == [Placed, Ready]
    assert [event.seconds for event in events if isinstance(event, Ready)] == [3.0, 3.0]
    pool.submit("w0", TaskCall("t1", {"x": 1}))
    (done,) = collect(pool, Done)
    assert (done.worker, done.call.task, done.result) == ("w0", "t1", {"x": 1})


def test_nobody_loads_before_all_have_a_place() -> None:
    """So a node that does not share the storage is found before anything is rendered."""
    pool = on()(*one_gpu(4), ready=False)
    events: list[PoolEvent] = []
    while sum(isinstance(event, Ready) for event in events) < 4:
        events += pool.wait(10)
    kinds = [type(event) for event in events]
    assert kinds.index(Ready) > max(at for at, kind in enumerate(kinds) if kind is Placed)


def test_a_busy_cluster_starts_with_what_it_has() -> None:
    start = on()
    begun_s = start.cluster.now_s()
    collect(start(*one_gpu(9), ready=False, gather_s=3.0), Ready, 8)
    assert start.cluster.now_s() - begun_s >= 3.0


def test_halves_wait_until_every_whole_gpu_is_taken() -> None:
    """Halves on two nodes could block a whole one."""
    pool = on()(WorkerRequest("a", gpus=0.5), WorkerRequest("b", gpus=0.5), *one_gpu(7))
    a, b = pool.placement("a"), pool.placement("b")
    assert a is not None
    assert b is not None
    assert a.visible_devices == b.visible_devices


def test_failures_keep_their_kind_and_the_worker() -> None:
    pool = on()(*one_gpu(1))
    pool.submit("w0", TaskCall("t1", {"do": "bad"}))
    pool.submit("w0", TaskCall("t2", {"do": "bug"}))
    failed = {event.call.task: event for event in collect(pool, Failed, 2)}
    bad, bug = failed["t1"], failed["t2"]
    assert bad.failure.kind is FailureKind.BAD_OUTPUT
    assert bad.failure.message == "a black frame; look at the seed"
    assert bug.failure.kind is FailureKind.BUG
    assert "no such key" in bug.failure.message
    assert "KeyError" in bug.failure.traceback
    pool.submit("w0", TaskCall("t3", {}))
    collect(pool, Done, 1)


def test_death_is_told_once_with_all_its_calls_and_replaced_on_demand() -> None:
    pool = on(Doom("t1", Crash(0.5)))(*one_gpu(1))
    first = pool.placement("w0")
    for task in ("t1", "t2"):
        pool.submit("w0", TaskCall(task, {}))
    assert pool.busy("w0") == ("t1", "t2")
    (lost,) = collect(pool, Lost)
    assert [call.task for call in lost.calls] == ["t1", "t2"]
    assert lost.failure.kind is FailureKind.WORKER_LOST
    assert pool.wait(60.0) == []
    pool.replace("w0")
    (ready,) = collect(pool, Ready)
    assert first is not None
    assert (first.incarnation, ready.placement.incarnation) == (1, 2)
    assert ready.placement.pid != first.pid


def test_a_node_without_memory_is_told_as_such() -> None:
    pool = on(Doom("t1", Crash(0.5, kind=FailureKind.OOM)))(*one_gpu(1))
    pool.submit("w0", TaskCall("t1", {}))
    (lost,) = collect(pool, Lost)
    assert (lost.failure.kind, lost.failure.worker_gone) == (FailureKind.OOM, True)


def test_idle_death_is_noticed() -> None:
    start = on()
    pool = start(*one_gpu(1), ping_s=5.0)
    start.cluster.process("w0").die("killed")
    (lost,) = collect(pool, Lost)
    assert lost.calls == ()


def test_kill_returns_the_calls_and_silences_the_incarnation() -> None:
    pool = on()(*one_gpu(1))
    pool.submit("w0", TaskCall("t1", {}))
    assert [call.task for call in pool.kill("w0")] == ["t1"]
    assert pool.wait(60.0) == []
    pool.probe("w0")
    collect(pool, Ready)
    pool.probe("w0")
    collect(pool, Alive)


def test_what_an_earlier_incarnation_still_says_is_dropped() -> None:
    pool = on(Doom("t1", Hang(zombie_s=30.0)))(*one_gpu(1))
    pool.submit("w0", TaskCall("t1", {"from": "the zombie"}))
    pool.replace("w0")
    collect(pool, Ready)
    pool.submit("w0", TaskCall("t1", {"from": "its successor"}))
    (done,) = collect(pool, Done)
    assert done.result == {"from": "its successor"}
    assert pool.wait(60.0) == []


def test_a_probe_of_a_worker_that_loads_is_answered_when_it_has_loaded() -> None:
    """Until then it could only fail what it is given."""
    pool = on(load_s=5.0)(*one_gpu(1), ready=False)
    collect(pool, Placed)
    pool.probe("w0")
    assert [type(event) for event in pool.wait(60.0)] == [Ready]


def test_a_worker_that_does_not_answer_a_probe_is_replaced_by_the_next() -> None:
    start = on()
    pool = start(*one_gpu(1))
    placement = pool.placement("w0")
    start.cluster.process("w0").stopped = True
    assert not pool.probe("w0")
    assert pool.wait(60.0) == []
    assert pool.probe("w0")
    (ready,) = collect(pool, Ready)
    assert placement is not None
    assert ready.placement.pid != placement.pid


def test_a_task_for_a_worker_that_has_just_died_is_not_kept() -> None:
    """Whoever schedules reads of the death after what came before it."""
    pool = on(Doom("t1", Crash(0.5)))(*one_gpu(1))
    pool.submit("w0", TaskCall("t1", {}))
    collect(pool, Lost)
    pool.submit("w0", TaskCall("t2", {}))
    assert pool.busy("w0") == ()
    assert pool.wait(60.0) == []
    pool.replace("w0")
    collect(pool, Ready)


def test_payloads_go_from_worker_to_worker() -> None:
    pool = on()(*one_gpu(2))
    pool.submit("w0", TaskCall("t1", {"do": "make", "task": "t1"}, share=True))
    collect(pool, Done)
    assert pool.shared() == {"t1"}
    read = {"do": "read", "of": "t1"}
    pool.submit("w1", TaskCall("t2", read, uses=("t1",)))
    assert collect(pool, Done)[0].result == b"made"
    pool.drop("t1")
    pool.submit("w1", TaskCall("t3", read, uses=("t1",)))
    assert collect(pool, Done)[0].result is None


def test_payload_of_a_dead_worker_reads_as_absent() -> None:
    start = on()
    pool = start(*one_gpu(2))
    pool.submit("w0", TaskCall("t1", {"do": "make", "task": "t1"}, share=True))
    collect(pool, Done)
    start.cluster.process("w0").die("killed")
    pool.submit("w1", TaskCall("t2", {"do": "read", "of": "t1"}, uses=("t1",)))
    assert collect(pool, Done)[0].result is None


def test_slow_load_is_killed_at_its_deadline() -> None:
    pool = on(load_s=60.0)(*one_gpu(1), ready=False, load_deadline_s=30.0)
    lost: list[PoolEvent] = []
    while not lost:
        lost = [event for event in pool.wait(1.0) if isinstance(event, Lost)]
    assert isinstance(lost[0], Lost)
    assert lost[0].failure.kind is FailureKind.HANG
    assert "30 s" in lost[0].failure.message


def test_worker_that_does_not_share_the_storage_is_refused(tmp_path: Path) -> None:
    proof = plant([str(tmp_path)])
    uproot(proof)
    (lost,) = collect(on()(*one_gpu(1), ready=False, proof=proof), Lost)
    assert lost.failure.kind is FailureKind.INVALID
    assert "not shared" in lost.failure.message


def test_busy_cluster_is_waited_for_saying_so_ever_more_seldom() -> None:
    start = on()
    begun_s = start.cluster.now_s()
    holder, late = start(*one_gpu(8)), start(WorkerRequest("late", gpus=1), ready=False)
    told_s: list[float] = []
    while len(told_s) < 3:
        for event in late.wait(1.0):
            assert isinstance(event, Waiting)
            assert "late (1 GPU)" in event.message
            assert "0 GPU" in event.message
            told_s.append(start.cluster.now_s() - begun_s)
    assert told_s[0] >= 10.0
    assert told_s[2] >= 2 * told_s[1] - 2.0 >= 3 * told_s[0] - 6.0
    holder.kill("w3")
    collect(late, Ready)


def test_no_living_node_can_hold_what_waits() -> None:
    head, gpu = NodeFacts("head", "head", 0, 4), NodeFacts("gpu", "gpu", 1, 4)
    start = on(nodes=[head, gpu])
    pool = start(*one_gpu(1))
    assert pool.stranded() == ()
    start.cluster.lose("gpu")
    collect(pool, Lost)
    pool.replace("w0")
    assert [request.id for request in pool.stranded()] == ["w0"]
    start.cluster.join(gpu)
    collect(pool, Ready)
    assert pool.stranded() == ()

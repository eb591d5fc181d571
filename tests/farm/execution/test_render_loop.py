"""The render loop with workers in this process: what it does first when a task is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from actors.worker.worker import StageWorker
from cluster.local.cluster import LocalCluster, one_node
from cluster.pool.events import Alive, Done, PoolEvent, TaskCall
from cluster.pool.pool import WorkerPool
from cluster.session import SessionConfig
from farm.estimates.durations import Hardware
from farm.events import (
    Event,
    JobFinished,
    LostAttempt,
    Notice,
    TaskCommitted,
    TaskStarted,
    TaskSuperseded,
    WorkerGone,
    WorkerReady,
    WorkerSuspended,
)
from farm.execution.render_loop import LONGEST_WAIT_S, RenderLoop
from farm.scheduler.commands import Kill, Suspend
from farm.scheduler.reasons import Reason, Why
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.state.attempts import Activity
from farm.state.job_state import DONE, INTERRUPTED, PAUSED_BY_USER
from farm.workers.workforce import configure, make_workforce
from jobs.loading.load import load_spec
from jobs.store.store import Store
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    import pytest

    from jobs.store.commits import Commit

TOPOLOGY = "sample=1,upscale+decode=1,segment=1"


@contextmanager
def looping(tmp_path: Path, chunks: int, grace_s: float = 0.0, task_s: float = 1.0) -> Iterator[RenderLoop]:
    """The loop of a film of so many chunks, its workers started."""
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16, "repeat": chunks - 1}}
    data = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}, extend]}],
        "output": {"dir": str(tmp_path / "out"), "preset": "ultrafast"},
    }
    with JobSession(load_spec(data), Scope(str(tmp_path / "runs"))) as session:
        list(session.begin())
        session.resolve()
        with LocalCluster([one_node(gpus=3, cpus=4)], lambda _worker, _task: task_s).connect(
            SessionConfig()
        ) as cluster:
            workforce = make_workforce(TOPOLOGY, cluster.inventory(), None, session.graph.stages)
            pool = WorkerPool(cluster, StageWorker, configure(session, workforce))
            pool.start(workforce.requests)
            place = Hardware(session.plan.engine, "cpu")
            yield RenderLoop(session, pool, workforce, place, grace_s=grace_s)


def rendered(tmp_path: Path, chunks: int) -> Iterator[Event]:
    """The events of a film of so many chunks."""
    with looping(tmp_path, chunks) as loop:
        yield from loop.run()


def test_what_waits_for_a_result_is_handed_out_before_anything_else_is_seen_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Films, previews and frames that are given up can wait; a worker must not."""
    settle, submit = JobSession.settle, WorkerPool.submit
    seen: list[tuple[str, str]] = []

    def settles(self: JobSession, task: str) -> Iterator[Event]:
        seen.append(("settled", task))
        return settle(self, task)

    def submits(self: WorkerPool, worker: str, call: TaskCall) -> None:
        seen.append(("handed out", call.task))
        submit(self, worker, call)

    monkeypatch.setattr(JobSession, "settle", settles)
    monkeypatch.setattr(WorkerPool, "submit", submits)
    events = list(rendered(tmp_path, chunks=3))
    assert isinstance(events[-1], JobFinished)
    assert events[-1].outcome == DONE
    for done, waits in (("sample", "decode"), ("decode", "segment")):
        handed_out = seen.index(("handed out", f"dawn/00000/{waits}"))
        assert handed_out < seen.index(("settled", f"dawn/00000/{done}"))
    told = [event.task for event in events if isinstance(event, TaskCommitted | TaskStarted)]
    assert [told.count(task) for task in told] == [2] * len(told)


def test_a_result_that_comes_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt is given up with its worker, and its result arrives behind that of the next one."""
    wait = WorkerPool.wait

    def twice(self: WorkerPool, timeout_s: float) -> list[PoolEvent]:
        events = wait(self, timeout_s)
        return [event for each in events for event in ([each, each] if isinstance(each, Done) else [each])]

    monkeypatch.setattr(WorkerPool, "wait", twice)
    events = list(rendered(tmp_path, chunks=3))
    committed = [event.task for event in events if isinstance(event, TaskCommitted)]
    assert len(committed) == len(set(committed))
    (finished,) = [event for event in events if isinstance(event, JobFinished)]
    assert finished.outcome == DONE
    assert finished.state["tasks"]["committed"] == len(committed)
    assert any(isinstance(event, TaskSuperseded) for event in events)


def test_no_worker_waits_for_frames_to_be_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here that takes until the last task of the film is done."""
    evict, all_done = Store.evict, threading.Event()
    in_time: list[bool] = []

    def slowly(self: Store, commit: Commit) -> None:
        in_time.append(all_done.wait(timeout=30))
        evict(self, commit)

    monkeypatch.setattr(Store, "evict", slowly)
    for event in rendered(tmp_path, chunks=6):
        if isinstance(event, TaskCommitted) and event.task == "dawn/00005/segment":
            all_done.set()
    assert in_time == [True] * 6


def test_what_goes_with_a_worker_is_named_and_a_suspended_one_comes_back(tmp_path: Path) -> None:
    reason = Reason(Why.BY_USER, ("why",))
    with looping(tmp_path, chunks=3) as loop:
        while events := loop.pool.wait(60.0):
            for event in events:
                list(loop._on(event))
        (worker,) = loop.workforce.hosts(Stage.SAMPLE)
        held, session = ("dawn/00000/sample", "dawn/00001/sample"), loop.session
        for task in held:
            session.record(TaskStarted(task, worker, 2, ""))
        assert list(loop.dispatch.perform([Suspend(worker, 0.0, reason)])) == [WorkerSuspended(worker, "why")]
        assert [each.task for each in session.holdings.held(worker)] == list(held)
        for task in held:
            session.record(TaskSuperseded(task, worker, 2))
        assert session.holdings.workers[worker].activity is Activity.SUSPENDED
        assert [event for event in loop._on(Alive(worker)) if isinstance(event, WorkerReady)]
        assert not [event for event in loop._on(Alive(worker)) if isinstance(event, WorkerReady)]
        for task in held:
            session.record(TaskStarted(task, worker, 3, ""))
        (gone,) = loop.dispatch.perform([Kill(worker, held[0], reason)])
        assert gone == WorkerGone(worker, "why", tuple(LostAttempt(task, 3) for task in held))


def stopped(tmp_path: Path, signal: str, grace_s: float) -> tuple[list[Event], float]:
    """The events of a film whose driver gets a signal while two tasks run, and how long it went on then."""
    events: list[Event] = []
    with looping(tmp_path, chunks=6, grace_s=grace_s, task_s=4.0) as loop:
        now_s = loop.pool.cluster.now_s
        signalled_s = now_s()
        for event in loop.run():
            events.append(event)
            if isinstance(event, TaskStarted) and event.task == "dawn/00002/sample":
                signalled_s = now_s()
                loop.stop(signal)
        return events, now_s() - signalled_s


def running_at_the_end(events: list[Event]) -> set[str]:
    started = {event.task for event in events if isinstance(event, TaskStarted)}
    return started - {event.task for event in events if isinstance(event, TaskCommitted)}


def outcome(events: list[Event]) -> tuple[str, str]:
    assert isinstance(events[-1], JobFinished)
    return events[-1].outcome, str(events[-1].state["reason"])


def test_with_a_grace_what_runs_is_finished_and_nothing_new_begins(tmp_path: Path) -> None:
    events, went_on_s = stopped(tmp_path, "SIGTERM", grace_s=30.0)
    assert outcome(events) == (INTERRUPTED, "stopped by SIGTERM; the same command continues it")
    assert not running_at_the_end(events)
    assert 3.0 < went_on_s < 4.0 + LONGEST_WAIT_S
    (said,) = [
        n for n, event in enumerate(events) if isinstance(event, Notice) and "SIGTERM" in event.message
    ]
    assert not any(isinstance(event, TaskStarted) for event in events[said:])


def test_a_grace_is_not_overstayed(tmp_path: Path) -> None:
    events, went_on_s = stopped(tmp_path, "SIGTERM", grace_s=1.5)
    assert outcome(events)[0] == INTERRUPTED
    assert "dawn/00002/sample" in running_at_the_end(events)
    assert went_on_s < 1.5 + LONGEST_WAIT_S


def test_without_a_grace_or_at_ctrl_c_it_ends_at_once(tmp_path: Path) -> None:
    for folder, signal, grace_s in (("none", "SIGTERM", 0.0), ("ctrl-c", "SIGINT", 30.0)):
        events, went_on_s = stopped(tmp_path / folder, signal, grace_s)
        assert outcome(events)[0] == INTERRUPTED
        assert "dawn/00002/sample" in running_at_the_end(events)
        assert went_on_s < 0.5


def test_a_pause_that_is_taken_back_while_what_runs_is_finished_ends_nothing(tmp_path: Path) -> None:
    """The second task that the loop hears of was handed out before the pause: nothing else may be."""
    with looping(tmp_path, chunks=4) as loop:
        store, held = loop.session.store, []
        paused = False
        for event in loop.run():
            if isinstance(event, TaskCommitted) and not paused:
                paused = True
                loop.dispatch.pause(PAUSED_BY_USER)
            elif isinstance(event, TaskStarted) and loop.dispatch.pausing:
                held.append(event)
        assert paused
        assert store.requests() == frozenset()
        assert held == []
        assert isinstance(event, JobFinished)
        assert event.outcome == DONE

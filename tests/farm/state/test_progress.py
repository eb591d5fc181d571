from __future__ import annotations

import pytest

from farm.events import SHARED, JobPlanned, TaskCommitted, TaskFailed, TaskStarted, WorkerGone, WorkerPlaced
from farm.state.progress import Progress, split_task


def planned() -> JobPlanned:
    return JobPlanned(
        job="j",
        run_dir="runs/j",
        videos=("dawn",),
        frames=120,
        tasks=7,
        reused=1,
        totals={SHARED: {"encode": 1}, "dawn": {"sample": 2, "decode": 2, "segment": 2}},
        done={SHARED: {"encode": 1}, "dawn": {"sample": 0, "decode": 0, "segment": 0}},
    )


def started() -> Progress:
    progress = Progress()
    progress.apply(planned(), 100.0)
    for worker, stages in (("a", ("sample",)), ("b", ("decode", "segment"))):
        progress.apply(WorkerPlaced(worker, "node", stages), 100.0)
    return progress


def commit(task: str, worker: str, seconds: float) -> TaskCommitted:
    return TaskCommitted(task, worker, 1, seconds, 1000)


def test_task_ids_split_into_video_chunk_and_stage() -> None:
    assert split_task("dawn/00003/sample") == ("dawn", "00003", "sample")
    assert split_task("encode/text-0123456789ab") == (SHARED, "text-0123456789ab", "encode")


def test_counts_start_from_what_was_reused() -> None:
    progress = started()
    assert progress.total() == (1, 7)
    assert progress.counts("dawn", "sample") == (0, 2)
    assert progress.remaining("encode") == 0


def test_eta_is_unknown_until_every_remaining_stage_was_measured() -> None:
    progress = started()
    assert progress.eta_s() is None
    for task, worker, seconds in (("sample", "a", 4.0), ("decode", "b", 1.0), ("segment", "b", 0.5)):
        progress.apply(commit(f"dawn/00000/{task}", worker, seconds), 101.0)
    # One task of each stage is left: 4 s on `a` outlast 1.5 s on `b` and 5.5 s over two workers.
    assert progress.eta_s() == pytest.approx(4.0)


def test_eta_divides_by_the_workers_that_host_a_stage() -> None:
    progress = started()
    progress.apply(WorkerPlaced("c", "node", ("sample",)), 100.0)
    for task, seconds in (("sample", 8.0), ("decode", 1.0), ("segment", 0.5)):
        progress.apply(commit(f"dawn/00000/{task}", "a", seconds), 101.0)
    assert progress.eta_s() == pytest.approx(4.0)


def test_busy_workers_come_and_go() -> None:
    progress = started()
    progress.apply(TaskStarted("dawn/00000/sample", "a", 1, ""), 101.0)
    progress.apply(TaskStarted("dawn/00000/decode", "b", 1, ""), 102.0)
    assert [(held.worker, held.task, held.began_s) for held in progress.holdings.all_held()] == [
        ("a", "dawn/00000/sample", 101.0),
        ("b", "dawn/00000/decode", 102.0),
    ]
    progress.apply(TaskFailed("dawn/00000/sample", "a", 1, "bug", "m", "retry"), 103.0)
    progress.apply(WorkerGone("b", "killed"), 104.0)
    assert list(progress.holdings.all_held()) == []
    assert progress.failed == 1
    assert "b" not in progress.holdings.workers


def test_a_late_failure_does_not_clear_newer_work() -> None:
    progress = started()
    progress.apply(TaskStarted("dawn/00001/sample", "a", 1, ""), 101.0)
    progress.apply(TaskFailed("dawn/00000/sample", "a", 1, "bug", "m", "retry"), 102.0)
    assert [held.task for held in progress.holdings.held("a")] == ["dawn/00001/sample"]


def test_frames_follow_committed_segments() -> None:
    progress = started()
    progress.apply(commit("dawn/00000/segment", "b", 0.5), 101.0)
    assert progress.frames_done() == 60

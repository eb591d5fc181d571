"""What is counted agrees with what happened, over a whole serial render."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from farm.events import TaskCommitted, TaskFailed, TaskStarted, WorkerGone
from farm.execution.metrics import JobMetrics
from farm.execution.serial import _SerialRender
from farm.session.opening import Scope
from farm.session.session import JobSession
from jobs.loading.load import load_spec


class Board:
    """The latest value of every gauge, the sum of every counter."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], int] = {}
        self.most: dict[tuple[str, str], int] = {}
        self.sums: Counter[str] = Counter()
        self.counts: dict[str, int] = {}

    def tasks(self, stage: str, state: str, count: int) -> None:
        assert count >= 0
        self.now[stage, state] = count
        self.most[stage, state] = max(count, self.most.get((stage, state), 0))

    def committed(self, worker: str, stage: str, seconds: float, size_bytes: int) -> None:
        self.sums.update({f"{stage} committed": 1, "bytes": size_bytes})

    def failed(self, stage: str, kind: str) -> None:
        self.sums[f"{stage} {kind}"] += 1

    def workers(self, state: str, count: int) -> None:
        self.counts[state] = count

    def busy(self, worker: str, has_task: bool) -> None:
        self.sums["busy" if has_task else "free"] += 1

    def frames(self, count: int) -> None:
        self.sums["frames"] += count


def session(home: Path) -> JobSession:
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
    chunks = [{"generate": {"prompt": "a", "num_frames": 17}}, extend, extend]
    data = {
        "version": 1,
        "name": "j",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "v", "chunks": chunks}],
        "output": {"dir": str(home / "out")},
    }
    return JobSession(load_spec(data), Scope(str(home / "runs")))


def test_a_whole_render(tmp_path: Path) -> None:
    board = Board()
    with session(tmp_path) as job:
        list(job.begin())
        metrics = JobMetrics(job, board)
        for event in _SerialRender(job).run():
            metrics.take(event)
    assert board.sums["frames"] == 49
    assert {stage: board.sums[f"{stage} committed"] for stage in ("sample", "decode", "segment")} == {
        "sample": 3, "decode": 3, "segment": 3,
    }  # fmt: skip
    assert {key: count for key, count in board.now.items() if count and key[1] != "committed"} == {}
    assert board.most["sample", "ready"] == 1, "a chain is ready one chunk at a time"
    assert board.most["sample", "waiting"] == 3
    assert not any(board.counts.values()), "the job has ended"
    assert board.sums["bytes"] > 0


def test_failures_and_lost_workers_put_tasks_back(tmp_path: Path) -> None:
    board, task = Board(), "v/00000/sample"
    with session(tmp_path) as job:
        job.ledger.todo = list(job.graph.tasks)
        metrics = JobMetrics(job, board)
        metrics._plan()
        encode = next(name for name in job.ledger.todo if name.startswith("encode/"))
        for name in [name for name in job.ledger.todo if name.startswith("encode/")]:
            metrics.take(TaskCommitted(name, "a", 1, 0.1, 10))
        assert encode in job.graph.tasks
        assert board.now["sample", "ready"] == 1
        metrics.take(TaskStarted(task, "a", 1, ""))
        assert (board.now["sample", "ready"], board.now["sample", "running"]) == (0, 1)
        metrics.take(WorkerGone("a", "its node died"))
        assert (board.now["sample", "ready"], board.now["sample", "running"]) == (1, 0)
        metrics.take(TaskStarted(task, "b", 2, ""))
        metrics.take(TaskFailed(task, "b", 2, "bad_output", "black", "quarantined: twice the same"))
        assert (board.now["sample", "quarantined"], board.sums["sample bad_output"]) == (1, 1)
        assert board.counts == {"loading": 0, "idle": 1, "busy": 0, "suspended": 0}

"""Stages overlap: the makespan in the event log against the bound that no schedule can beat.

The stages sleep, so what is measured is the farm: hand-over, commits, scheduling. Run directories lie in
memory, since the disk of a busy machine would be measured otherwise; start-up of workers does not count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farm.scheduler.graph import ScheduledTask
from farm.topology.bound import job_facts
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.topology import Machine, parse_topology
from tests.ray.kit.specs import document, load, records, render

SECONDS = {"sample_s": 0.4, "upscale_s": 0.1, "decode_s": 0.2}
ALLOWED = 1.05
TRIES = 3


@dataclass(frozen=True)
class Run:
    makespan_s: float
    bound_s: float

    @property
    def ratio(self) -> float:
        return self.makespan_s / self.bound_s


@pytest.fixture
def memory() -> Iterator[Path]:
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        yield Path(folder)


def measured(folder: Path, videos: int, count: int, topology: str) -> Run:
    data = document(folder / "out", videos=videos, count=count, **SECONDS)
    rendered = render(folder / "runs", data, topology)
    assert rendered.outcome == "done"
    log = records(folder / "runs")
    begun = min(line["at_s"] for line in log if line["event"] == "task_started")
    commits = {line["task"]: line for line in log if line["event"] == "task_committed"}
    makespan_s = max(line["at_s"] for line in commits.values()) - begun
    return Run(makespan_s, bound_s(data, topology, {task: line["seconds"] for task, line in commits.items()}))


def bound_s(data: dict[str, Any], topology: str, seconds: dict[str, float]) -> float:
    """The bound for the stage steps alone, as long as they really took."""
    graph = build_graph(make_plan(load(data).spec))
    tasks = [
        ScheduledTask(
            task.id, task.stage, tuple(need.task for need in task.needs), duration_s=seconds[task.id]
        )
        for task in graph.tasks.values()
    ]
    return job_facts(tasks).bound(parse_topology(topology, Machine(8.0))).seconds


@pytest.mark.slow  # A wall-clock bar: it needs the machine to itself.
@pytest.mark.parametrize(
    ("videos", "count", "topology"),
    [(1, 12, "sample=1,upscale=1,decode=1"), (4, 8, "sample=2,upscale=1,decode=1")],
)
@pytest.mark.usefixtures("ray_session")
def test_makespan(memory: Path, videos: int, count: int, topology: str) -> None:
    """A machine that does something else besides gets more than one try."""
    best = Run(float("inf"), 1.0)
    for attempt in range(TRIES):
        best = min(best, measured(memory / str(attempt), videos, count, topology), key=lambda run: run.ratio)
        if best.ratio <= ALLOWED:
            break
    print(f"{videos} x {count} on {topology}: {best}, {best.ratio:.3f}")
    assert best.ratio <= ALLOWED

"""Killing one process of a running render at a chosen moment, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ray.commands import farm, started, write_spec
from tests.ray.nodes import Nodes
from tests.ray.processes import alive, until
from tests.ray.specs import records

MID, BOUNDARY = "mid", "boundary"
STAGED = "sample=1,upscale=1,decode=1,segment=1"
LONGEST_S = 240.0
EARLIEST = 3
"""Commits before the kill, so that there is something to lose and something to reuse."""


@dataclass(frozen=True)
class Cell:
    """Kill `victim` (driver, worker, raylet) while `stage` is at work (`mid`) or just committed."""

    victim: str
    stage: str
    moment: str
    topology: str = STAGED

    def __str__(self) -> str:
        name = f"{self.victim}-{self.stage}-{self.moment}"
        return f"{name}-mono" if self.topology.startswith("mono") else name


@dataclass(frozen=True)
class Step:
    """A line of the workers' trace: a step began, or its result is committed."""

    event: str
    task: str
    attempt: int
    pid: int


@dataclass(frozen=True)
class Job:
    """Files of one render under test, and how its driver reaches Ray."""

    folder: Path
    data: dict[str, Any]
    address: tuple[str, ...]
    env: dict[str, str]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def trace(self) -> Path:
        return self.folder / "trace"

    def words(self, topology: str) -> tuple[str, ...]:
        spec = write_spec(self.folder, self.data)
        return ("render", str(spec), "--runs", str(self.runs), "-t", topology, *self.address)

    def environment(self) -> dict[str, str]:
        return {**self.env, "FARM_TRACE": str(self.trace)}

    def steps(self) -> list[Step]:
        if not self.trace.exists():
            return []
        lines = self.trace.read_text().splitlines()
        return [Step(**json.loads(line)) for line in lines if line.endswith("}")]

    def log(self) -> list[dict[str, Any]]:
        return records(self.runs)

    def films(self) -> dict[str, str]:
        films = (e for e in self.log() if e["event"] == "film_delivered" and not e["preview"])
        return {film["video"]: film["sha256"] for film in films}


def strike(cell: Cell, job: Job, nodes: Nodes | None = None) -> Step:
    """Render, kill the victim at its moment, see the render through; returns the step that was hit."""
    with started(*job.words(cell.topology), log=job.folder / "log", **job.environment()) as driver:
        hit = _moment(cell, job)
        victim = {"driver": driver.pid, "worker": hit.pid}.get(cell.victim) or _raylet(job, hit, nodes)
        os.kill(victim, signal.SIGKILL)
        if cell.moment == MID:
            assert hit not in _ended(job), "the victim was not busy any more"
        if cell.victim == "driver":
            driver.wait(timeout=20)
            until(lambda: not alive({step.pid for step in job.steps()}), 30, "no worker outlives its driver")
        else:
            assert driver.wait(timeout=LONGEST_S) == 0, (job.folder / "log").read_text()
    if cell.victim == "driver":
        resumed = farm(*job.words(cell.topology), timeout_s=LONGEST_S, **job.environment())
        assert resumed.returncode == 0, resumed.stderr
    return hit


def _moment(cell: Cell, job: Job) -> Step:
    """Wait for the moment: a step of the stage in a later chunk that is at work, or the last line of one."""
    event = "begin" if cell.moment == MID else "end"
    found: list[Step] = []

    def has_come() -> bool:
        steps = job.steps()
        done = {step.task for step in steps if step.event == "end"}
        of_stage = [step for step in steps if step.event == event and _stage(step.task) == cell.stage]
        found[:] = [step for step in of_stage if event == "end" or step.task not in done]
        return bool(found) and len(done) >= EARLIEST

    until(has_come, LONGEST_S, f"{cell}: the moment", poll_s=0.02)
    return found[-1]


def _stage(task: str) -> str:
    return "encode" if task.startswith("encode/") else task.rsplit("/", 1)[1]


def _ended(job: Job) -> list[Step]:
    return [Step("begin", step.task, step.attempt, step.pid) for step in job.steps() if step.event == "end"]


def _raylet(job: Job, hit: Step, nodes: Nodes | None) -> int:
    """The raylet of the node on which the step runs."""
    assert nodes is not None
    worker = next(
        e["worker"] for e in job.log()[::-1] if e["event"] == "task_started" and e["task"] == hit.task
    )
    node = next(
        e["node"].split("/")[1]
        for e in job.log()[::-1]
        if e["event"] == "worker_placed" and e["worker"] == worker
    )
    return next(pid for name, pid in nodes.raylets.items() if name.startswith(node))


def verify(cell: Cell, job: Job, hit: Step, reference: dict[str, str]) -> None:
    """What must hold after any kill."""
    assert job.films() == reference
    ends = [step.task for step in job.steps() if step.event == "end"]
    assert len(ends) == len(set(ends)), "a committed task was computed again"
    planned = [e for e in job.log() if e["event"] == "job_planned"]
    if cell.victim == "driver":
        assert planned[-1]["reused"] > 0
        assert planned[-1]["reused"] >= len([t for t in ends if t in _committed_before_resume(job)])
        return
    assert len(planned) == 1
    if cell.moment == MID:
        assert hit.task in {e["task"] for e in job.log() if e["event"] == "worker_gone"}


def _committed_before_resume(job: Job) -> set[str]:
    """Tasks that the first driver recorded as committed."""
    found: set[str] = set()
    for event in job.log():
        if event["event"] == "job_planned" and found:
            break
        if event["event"] == "task_committed":
            found.add(event["task"])
    return found

"""Killing one process of a running render at a chosen moment, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.ray.kit.commands import farm_within, started, write_spec
from tests.ray.kit.processes import alive, state, until
from tests.ray.kit.specs import records

if TYPE_CHECKING:
    from tests.ray.kit.nodes import Nodes

MID, BOUNDARY = "mid", "boundary"
LOG_NAMES = {"driver": "task_started", "worker": "worker_gone", "raylet": "worker_gone"}
"""The event that names the task a victim was busy with."""
STAGED = "sample=1,upscale=1,decode=1,segment=1"
LONGEST_S = 240.0
EARLIEST = 3
"""Commits before the kill, so that there is something to lose and something to reuse."""
FRESH = 4
"""How many lines of the trace, the newest ones, may announce the moment."""
POLL_S = 0.002


@dataclass(frozen=True)
class Cell:
    """Kill `victim` (driver, worker, raylet) while `stage` is at work (`mid`) or just committed."""

    victim: str
    stage: str
    moment: str
    topology: str = STAGED

    def __str__(self) -> str:
        name = f"{self.victim}-{self.stage}-{self.moment}"
        return f"{name}-{self.topology.partition(',')[0]}" if self.topology.startswith("mono") else name


@dataclass(frozen=True)
class Step:
    """A line of the workers' trace: a step began, or its result is committed."""

    event: str
    task: str
    attempt: int
    pid: int


@dataclass(frozen=True)
class Tally:
    """How often each task was computed, as the workers counted, and which were after their commit."""

    computed: Counter[str]
    again: tuple[str, ...]

    def __str__(self) -> str:
        twice = sorted(task for task, times in self.computed.items() if times > 1)
        return f"{len(self.computed)} tasks, {self.computed.total()} computations, cut off: {twice}"


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
        hit = _caught(cell, job)
        _kill(cell, job, hit, driver.pid, nodes)
        if cell.victim == "driver":
            driver.wait(timeout=20)
            until(lambda: not alive({step.pid for step in job.steps()}), 30, "no worker outlives its driver")
        else:
            assert driver.wait(timeout=LONGEST_S) == 0, (job.folder / "log").read_text()
    if cell.victim == "driver":
        resumed = farm_within(LONGEST_S, *job.words(cell.topology), **job.environment())
        assert resumed.returncode == 0, resumed.stderr
    return hit


def _kill(cell: Cell, job: Job, hit: Step, driver: int, nodes: Nodes | None) -> None:
    """A node's worker dies with it; a driver's worker goes on until it learns that it is an orphan."""
    if cell.victim == "raylet":
        os.kill(_raylet(job, hit, nodes), signal.SIGKILL)
    os.kill(driver if cell.victim == "driver" else hit.pid, signal.SIGKILL)
    if cell.victim == "driver":
        os.kill(hit.pid, signal.SIGCONT)


def _caught(cell: Cell, job: Job) -> Step:
    """The step at which the moment came. Its worker is stopped there: in the middle of the step, or with the
    step just committed."""
    event = "begin" if cell.moment == MID else "end"
    missed: set[Step] = set()
    end_s = time.monotonic() + LONGEST_S
    while time.monotonic() < end_s:
        steps = job.steps()
        fresh = [s for s in steps[-FRESH:] if s.event == event and _stage(s.task) == cell.stage]
        late_enough = sum(step.event == "end" for step in steps) >= EARLIEST
        for step in fresh if late_enough else ():
            if step not in missed and _stop(step, job, cell.moment):
                return step
            missed.add(step)
        time.sleep(POLL_S)
    raise AssertionError(f"{cell}: the moment did not come within {LONGEST_S} s; missed: {missed}")


def _stop(step: Step, job: Job, moment: str) -> bool:
    """Stop the step's worker; False, and let it go on, when its step is not the last thing it did."""
    try:
        os.kill(step.pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    until(lambda: state(step.pid) in "TZX", 5, "the worker is stopped", poll_s=POLL_S)
    last = [other for other in job.steps() if other.pid == step.pid][-1]
    if last == step or moment == BOUNDARY:
        return True
    os.kill(step.pid, signal.SIGCONT)
    return False


def _stage(task: str) -> str:
    return "encode" if task.startswith("encode/") else task.rsplit("/", 1)[1]


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


def verify(cell: Cell, job: Job, hit: Step, reference: dict[str, str]) -> Tally:
    """What must hold after any kill."""
    assert job.films() == reference
    log, steps = job.log(), job.steps()
    tally = _tally(steps)
    assert tally.again == (), "a committed task was computed again"
    planned = [event for event in log if event["event"] == "job_planned"]
    if cell.victim == "driver":
        resume = _resume(log)
        before = _tasks(log[:resume], "task_committed")
        assert len(planned) == 2
        assert planned[-1]["reused"] >= len(before) > 0
        assert before.isdisjoint(_tasks(log[resume:], "task_started"))
    else:
        assert len(planned) == 1
    if cell.moment == MID:
        assert cell.victim != "worker" or tally.computed[hit.task] == 2
        assert any(hit.task in json.dumps(e) for e in log if e["event"] == LOG_NAMES[cell.victim])
    return tally


def _tally(steps: list[Step]) -> Tally:
    """Count the computations of each task. A line is one appended write, so lines stand in their order."""
    done: set[str] = set()
    again = []
    for step in steps:
        if step.event == "end":
            done.add(step.task)
        elif step.task in done:
            again.append(step.task)
    return Tally(Counter(step.task for step in steps if step.event == "begin"), tuple(again))


def _tasks(events: list[dict[str, Any]], name: str) -> set[str]:
    return {event["task"] for event in events if event["event"] == name}


def _resume(log: list[dict[str, Any]]) -> int:
    """Where the second driver begins: it opens with what it has planned."""
    return max(index for index, event in enumerate(log) if event["event"] == "job_planned")

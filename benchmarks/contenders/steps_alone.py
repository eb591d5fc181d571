"""The stage steps of a job without the farm around them: what the other contenders' workers run.

They call the same step functions on the same task graph as the farm's workers, but write nothing: no commit,
no provenance, no segment.
"""

from __future__ import annotations

import os
import pickle
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from benchmarks.workloads import Workload

SETUP_DEADLINE_S = 180.0


@dataclass(frozen=True, slots=True)
class Crew:
    """What every worker of a contender is told. All wait for each other, so that start-up is over before the
    first step: each leaves a file in `gate` when it is ready, and begins when there are `workers` of them.
    """

    document: dict[str, Any]
    gate: str
    workers: int


class StepsAlone:
    """One worker: an engine that hosts some stages, and the payloads it has seen."""

    def __init__(self, crew: Crew, stages: Collection[Stage]) -> None:
        from actors.engines.make import make_engine
        from actors.steps.run import run_stage
        from actors.steps.seeding import fix_threads
        from jobs.loading.load import load_spec
        from jobs.planning.plan import make_plan
        from jobs.tasks.graph import build_graph

        self.run_stage = run_stage
        loaded = load_spec(crew.document)
        self.engine = make_engine(loaded.spec.engine, "cpu", loaded.spec.run.threads)
        fix_threads(loaded.spec.run.threads)
        self.engine.setup(frozenset(stages))
        self.graph = build_graph(make_plan(loaded.spec, loaded.facts))
        self.held: dict[str, Any] = {}
        self.begun_s: float | None = None
        self.crew = crew
        (Path(crew.gate) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()

    def chunks(self, video: str) -> int:
        """How many chunks the video has."""
        return sum(task.video == video for task in self.graph.tasks.values() if task.stage is Stage.SAMPLE)

    def begin(self) -> float:
        """Wait for the crew once; when this worker began, seconds since the epoch."""
        if self.begun_s is None:
            deadline_s = time.monotonic() + SETUP_DEADLINE_S
            while len(list(Path(self.crew.gate).iterdir())) < self.crew.workers:
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"not all {self.crew.workers} workers started")
                time.sleep(0.005)
            self.begun_s = time.time()
        return self.begun_s

    def run(self, stage: Stage, video: str, chunk: int) -> dict[str, Any]:
        """The step of one chunk; gives what later stages need of it, payloads by task id."""
        run_stage = self.run_stage
        task = self.graph.tasks[f"{video}/{chunk:05d}/{stage}"]
        inputs: dict[str, list[Any]] = {}
        for need in task.needs:
            if need.task not in self.held:
                self.held[need.task] = run_stage(self.graph.tasks[need.task], {}, self.engine, Path())
            inputs.setdefault(need.role, []).append(self.held[need.task])
        self.held[task.id] = run_stage(task, inputs, self.engine, Path())
        shared = {need.task: self.held[need.task] for need in task.needs if need.role == "conditioning"}
        return {**shared, task.id: self.held[task.id]}


def make_crew(work: Workload, folder: Path, workers: int) -> Crew:
    """A crew with a gate of its own."""
    gate = folder / uuid.uuid4().hex
    gate.mkdir(parents=True)
    return Crew(work.document(folder / "out"), str(gate), workers)


def stages_of(crew: Crew) -> tuple[Stage, ...]:
    """The stages that run one after the other; encode goes with sample."""
    return (
        (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)
        if "upscale" in crew.document
        else (Stage.SAMPLE, Stage.DECODE)
    )


def packed(payloads: dict[str, Any]) -> bytes:
    """Payloads as one column of a row."""
    return pickle.dumps(payloads, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(column: bytes) -> dict[str, Any]:
    return pickle.loads(column)

"""A whole job run through one worker, without driver or session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.payload import Payload, unpack
from actors.worker.order import TaskOrder, WorkerConfig
from actors.worker.worker import StageWorker
from jobs.file_digests import file_digest
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.store.commits import Commit
from jobs.store.store import Store
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph

if TYPE_CHECKING:
    from jobs.planning.facts import SourceFacts


@dataclass
class Bench:
    """One worker, one job, and what was committed."""

    worker: StageWorker
    graph: TaskGraph
    digests: dict[str, str]
    commits: dict[str, Commit] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def order(self, task_id: str, attempt: int = 1, **more: Any) -> TaskOrder:
        task = self.graph.tasks[task_id]
        inputs = {need.task: self.commits[need.task] for need in task.needs}
        return TaskOrder(task, self.digests[task_id], attempt, inputs, **more)

    def run(self, task_id: str, attempt: int = 1, **more: Any) -> Commit:
        result = self.worker.run(self.order(task_id, attempt, **more))
        self.commits[task_id] = result.commit
        return result.commit

    def run_before(self, task_id: str) -> None:
        """Everything that stands before the task in plan order."""
        for other in self.graph.tasks:
            if other == task_id:
                return
            self.run(other)

    def run_all(self) -> None:
        for task_id in self.graph.tasks:
            self.run(task_id)

    def payload(self, task_id: str) -> Payload:
        return unpack(self.store.read(self.commits[task_id]))

    @property
    def store(self) -> Store:
        store = self.worker._store
        assert store is not None
        return store


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """`make_bench(spec, facts=None, **worker_config)`; each call has its own runs directory."""
    workers: list[StageWorker] = []
    locked = ExitStack()

    def make(spec: dict[str, Any], facts: SourceFacts | None = None, **config: Any) -> Bench:
        checked = JobSpec.model_validate({"name": "job", **spec}, strict=False)
        graph = build_graph(make_plan(checked, facts))
        runs = str(tmp_path / f"runs{len(workers)}")
        locked.enter_context(Store.open(runs, "job").lock())
        worker = StageWorker(
            WorkerConfig(
                engine=checked.engine,
                stages=frozenset(Stage),
                device="cpu",
                threads=config.pop("threads", 1),
                runs_url=runs,
                job_id="job",
                verify=checked.run.verify,
                worker="bench",
                **config,
            )
        )
        workers.append(worker)
        report = worker.setup()
        files = {path: file_digest(path) for path in input_files(graph)}
        fingerprint = Fingerprint(engine=report["fingerprint"], media={}, files=files)
        return Bench(worker, graph, digests(graph, fingerprint), report=report)

    yield make
    for worker in workers:
        worker.destroy()
    locked.close()

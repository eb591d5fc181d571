"""Measuring stage steps without committing anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import actors.worker.worker as module
from actors.engines.fake import FakeEngine
from actors.steps import timing
from actors.steps.run import begin_stage
from actors.worker.order import WorkerConfig
from actors.worker.probe import ProbeOrder, ProbeWorker
from jobs.errors import StageError
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.spec.job import JobSpec
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph

if TYPE_CHECKING:
    from actors.payload import Payload
    from jobs.planning.params import PassParams

STEP_S, ONCE_S = 0.5, 3.0


@pytest.fixture
def graph() -> TaskGraph:
    spec = {
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 32, "steps": 20},
        "upscale": {"steps": 2},
        "videos": [{"name": "film", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}]}],
    }
    return build_graph(make_plan(JobSpec.model_validate(spec, strict=False)))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[ProbeWorker]:
    engine = EngineConfig(name="fake")
    runs = str(tmp_path / "runs")
    with Store.open(runs, "job").lock():
        probing = ProbeWorker(WorkerConfig(engine, frozenset(Stage), "cpu", 1, runs, "job"))
        probing.setup()
        yield probing
        probing.destroy()


def measure(worker: ProbeWorker, graph: TaskGraph, until: str) -> dict[str, float]:
    found = {}
    for task in graph.tasks.values():
        found[task.id] = worker.run(ProbeOrder(task)).seconds
        if task.id == until:
            return found
    raise KeyError(until)


def test_a_few_steps_tell_of_twenty(
    worker: ProbeWorker, graph: TaskGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of a sampler is slow, as it compiles; each task has a part that steps do not repeat."""
    ran: list[int] = []
    clock = SimpleNamespace(now_s=0.0)

    def denoise(self: FakeEngine, params: PassParams, *inputs: Any) -> Payload:
        clock.now_s += (50.0 if not ran else 0.0) + ONCE_S + params.sampling.steps * STEP_S
        ran.append(params.sampling.steps)
        return real(self, params, *inputs)

    real = FakeEngine.denoise
    monkeypatch.setattr(FakeEngine, "denoise", denoise)
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    seconds = measure(worker, graph, "film/00000/sample")["film/00000/sample"]
    assert ran == [2, 2, 4]
    assert seconds == pytest.approx(ONCE_S + 20 * STEP_S)


def test_short_tasks_are_run_whole_and_nothing_is_committed(
    worker: ProbeWorker, graph: TaskGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[Stage, int]] = []
    real = begin_stage

    def begin(task: Any, *rest: Any) -> Any:
        ran.append((task.stage, getattr(getattr(task.params, "sampling", None), "steps", 0)))
        return real(task, *rest)

    monkeypatch.setattr(module, "begin_stage", begin)
    measure(worker, graph, "film/00000/decode")
    assert ran.count((Stage.UPSCALE, 2)) == 2
    assert ran.count((Stage.DECODE, 0)) == 2
    assert worker.payload("film/00000/sample") is not None
    assert worker._store is not None
    assert worker._store.commits() == {}


def test_what_is_left_to_the_device_is_measured_as_the_device_has_it(
    worker: ProbeWorker, graph: TaskGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: set[str] = set()
    real = FakeEngine.denoise

    def denoise(self: FakeEngine, params: PassParams, *inputs: Any) -> Payload:
        modes.add(params.attention_mode)
        return real(self, params, *inputs)

    monkeypatch.setattr(FakeEngine, "denoise", denoise)
    monkeypatch.setattr(FakeEngine, "modes", lambda _: {"attention_mode": "flash"})
    assert graph.tasks["film/00000/sample"].params.attention_mode == "auto"  # type: ignore[union-attr]
    measure(worker, graph, "film/00000/sample")
    assert modes == {"flash"}


def test_payloads_of_other_workers_count(worker: ProbeWorker, graph: TaskGraph) -> None:
    measure(worker, graph, "film/00000/upscale")
    lent = {name: held for name in graph.tasks if (held := worker.payload(name)) is not None}
    decoder = ProbeWorker(worker.config)
    decoder.setup()
    assert decoder.run(ProbeOrder(graph.tasks["film/00000/decode"]), lent).seconds >= 0.0
    with pytest.raises(StageError):
        ProbeWorker.run(decoder, ProbeOrder(graph.tasks["film/00000/upscale"]), {})
    decoder.destroy()

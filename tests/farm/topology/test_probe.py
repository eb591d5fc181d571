"""What is probed before `auto` decides, and how the probe ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.worker.probe import Probed
from cluster.failures import CallFailure
from cluster.pool.events import Done, Failed, Ready, TaskCall
from farm.estimates.durations import Durations, Hardware, read_durations
from farm.session.ledger import Ledger
from farm.topology.probe import (
    MOST_TASKS,
    DurationProbe,
    keep,
    one_of_each,
    summary,
    tasks_to_probe,
)
from jobs.errors import FailureKind
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import Machine, parse_topology
from tests.jobs.planning.test_retakes import retake, spec_of

GPU = Hardware(EngineConfig(name="diffusers"), "H200")
EXTEND = {"extend": {"prompt": "b", "num_new_frames": 80, "overlap_frames": 16, "repeat": 5}}


def ledger(chunks: list[dict[str, Any]] | None = None, **more: Any) -> Ledger:
    """A job of six chunks, five of them extends."""
    listed = chunks or [{"generate": {"prompt": "a", "num_frames": 97}}, EXTEND]
    data = {"name": "job", "upscale": {}, "videos": [{"name": "film", "chunks": listed}], **more}
    return Ledger(build_graph(make_plan(JobSpec.model_validate(data, strict=False))))


def probed(job: Ledger, known: Durations, place: Hardware) -> list[StageTask]:
    return tasks_to_probe(job.graph, [job.graph.tasks[name] for name in job.left], known, place)


def measured(tasks: list[StageTask], place: Hardware = GPU) -> Durations:
    known = Durations()
    for task in tasks:
        known.observe_step(place, task, 3.0)
    return known


def test_the_size_with_most_work_is_probed_needs_first() -> None:
    tasks = probed(ledger(), Durations(), GPU)
    names = [task.id for task in tasks if task.stage is not Stage.ENCODE]
    assert names == [
        f"film/{chunk:05d}/{stage}"
        for chunk, stages in ((0, ("sample", "upscale")), (1, ("sample", "upscale", "decode")))
        for stage in stages
    ]
    seen: set[str] = set()
    for task in tasks:
        assert {need.task for need in task.needs} <= seen
        seen.add(task.id)


def test_of_temporal_rounds_a_tile_and_a_window_are_probed() -> None:
    job = ledger(upscale={"temporal": 4}, engine={"name": "diffusers"})
    names = [task.id for task in probed(job, Durations(), GPU)]
    assert names[0].startswith("encode/")
    assert any(name.endswith(".r1/upscale") for name in names)
    assert sum("-t" in name.partition(".r")[2] for name in names) >= 1
    assert [name for name in names if name.endswith("/decode")] == ["film/00001.w0/decode"]
    assert len(names) <= MOST_TASKS


def test_what_only_reads_a_file_is_not_probed() -> None:
    """The last kept part of a long source takes most, and tells nothing of the model."""
    facts = SourceFacts(videos={"shot.mp4": VideoFact(2000, 640, 480, 25.0)})
    graph = build_graph(make_plan(spec_of(retake("4s", "5s")), facts))
    tasks = tasks_to_probe(graph, list(graph.tasks.values()), Durations(), GPU)
    assert [task.id for task in tasks if task.stage is Stage.DECODE] == ["dawn/00001/decode"]


def test_nothing_is_probed_that_was_measured_there() -> None:
    job = ledger()
    tasks = probed(job, Durations(), GPU)
    assert probed(job, measured(tasks), GPU) == []
    elsewhere = Hardware(GPU.engine, "L4")
    assert probed(job, measured(tasks), elsewhere) == tasks


def test_a_larger_picture_is_probed_again() -> None:
    known = measured(probed(ledger(), Durations(), GPU))
    assert probed(ledger(defaults={"width": 1536, "height": 1024}), known, GPU) != []


def test_one_stage_unknown_probes_that_stage_and_what_it_needs() -> None:
    job = ledger()
    tasks = [task for task in probed(job, Durations(), GPU) if task.stage is not Stage.DECODE]
    again = probed(job, measured(tasks), GPU)
    assert again[-1].id == "film/00001/decode"


def test_settings_are_not_probed_and_short_jobs_are_rendered_at_once() -> None:
    assert probed(ledger(), Durations(), Hardware(EngineConfig(name="fake"), "cpu")) == []
    short = ledger([{"generate": {"prompt": "a", "num_frames": 97}}])
    assert probed(short, Durations(), GPU) == []


def test_a_resumed_job_is_probed_for_what_is_left() -> None:
    job = ledger()
    job.digests = {"some": "digest"}
    assert probed(job, Durations(), GPU) == []
    job.todo = [name for name, task in job.graph.tasks.items() if task.stage is Stage.DECODE]
    assert probed(job, Durations(), GPU) == [], "six decodes are not worth a chunk's whole way"
    job.todo = [name for name in job.graph.tasks if name.startswith("film/")]
    assert probed(job, Durations(), GPU)[-1].id == "film/00001/decode"


def test_one_worker_for_each_kind() -> None:
    topology = parse_topology("sample=3,upscale+decode=5,segment=4", Machine(8))
    assert str(one_of_each(topology)) == "sample=1,upscale+decode=1"


class FakePool:
    """Answers each call with `answer`, one turn later; workers are ready at once."""

    def __init__(self, workers: tuple[str, ...], answer: Callable[[str, TaskCall], Any]) -> None:
        self.answer, self.calls = answer, []  # type: ignore[var-annotated]
        self.events: list[Any] = [Ready(worker, None, {}, 0.0) for worker in workers]  # type: ignore[arg-type]
        self.most_out = 0

    def submit(self, worker: str, call: TaskCall) -> None:
        self.calls.append((worker, call))
        self.events.append(self.answer(worker, call))
        self.most_out = max(self.most_out, len(self.events))

    def wait(self, timeout_s: float) -> list[Any]:
        happened, self.events = self.events, []
        return happened

    def wake(self) -> None:
        pass


def workforce(**stages: set[Stage]) -> Any:
    return SimpleNamespace(
        hosts=lambda stage: frozenset(w for w, hosted in stages.items() if stage in hosted)
    )


def done(worker: str, call: TaskCall) -> Done:
    return Done(worker, call, Probed(call.task, 2.5))


def test_tasks_go_one_by_one_to_who_hosts_them(tmp_path: Path) -> None:
    tasks = probed(ledger(), Durations(), GPU)
    pool = FakePool(("a", "b"), done)
    force = workforce(a={Stage.ENCODE, Stage.SAMPLE}, b={Stage.UPSCALE, Stage.DECODE})
    probe = DurationProbe(tasks, pool, force)  # type: ignore[arg-type]
    assert list(probe.run()) == []
    assert [call.task for _, call in pool.calls] == [task.id for task in tasks]
    assert pool.most_out == 1
    assert {worker for worker, call in pool.calls if call.task.endswith("decode")} == {"b"}
    assert summary(probe) == "measured: sample 2.50 s, upscale 2.50 s, decode 2.50 s"
    keep(probe, GPU, str(tmp_path))
    known = read_durations(str(tmp_path))
    assert all(known.knows(GPU, task) for task in tasks)
    assert known.estimate(GPU)(tasks[-1]) == pytest.approx(2.5)
    assert known.commit_s(GPU)[Stage.DECODE] == 0.0
    assert not any("commit" in key for key in known.means)


def test_a_probe_that_fails_says_so_and_ends() -> None:
    def fail(worker: str, call: TaskCall) -> Failed:
        return Failed(worker, call, CallFailure(FailureKind.OOM, "out of memory", worker_gone=False))

    tasks = probed(ledger(), Durations(), GPU)
    probe = DurationProbe(tasks, FakePool(("a",), fail), workforce(a=set(Stage)))  # type: ignore[arg-type]
    assert list(probe.run()) == []
    assert summary(probe) == "the probe failed, stage times stay estimates: out of memory"


def test_a_signal_ends_the_probe() -> None:
    tasks = probed(ledger(), Durations(), GPU)
    pool = FakePool((), done)
    probe = DurationProbe(tasks, pool, workforce(a=set(Stage)))  # type: ignore[arg-type]
    probe.stop("SIGTERM")
    assert list(probe.run()) == []
    assert probe.stopped_by == "SIGTERM"
    assert pool.calls == []

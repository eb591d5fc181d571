"""The rows of the failure table that need processes: workers that die, lose their device, hang or stop."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.session import Session
from farm.events import (
    Event,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
)
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from farm.state.job_state import DONE, FAILED, PAUSED
from jobs.store.documents import DIGESTS
from jobs.store.store import Store
from jobs.tasks.task import Stage
from tests.ray.commands import farm, write_spec
from tests.ray.head import ray_head
from tests.ray.processes import alive, until
from tests.ray.specs import JOB, Rendered, collected, document, load, records, render_alone

TOPOLOGY = "mono=1,segment=1"
TASK = "take0/00001/decode"
DEADLINE_S = 6.0
BEGINNINGS = ("worker_placed", "task_started")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", document(folder / "out", videos=2, count=3)).films


Play = Callable[..., Rendered]
Meanwhile = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Nothing happens meanwhile."""


@pytest.fixture
def play(ray_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Render under a script of faults; the workers leave a trace."""
    monkeypatch.setenv("FARM_TRACE", str(tmp_path / "trace"))
    script = tmp_path / "faults.json"

    def run(
        *faults: dict[str, Any],
        topology: str = TOPOLOGY,
        until: Stage | None = None,
        meanwhile: Meanwhile = ignore,
        **fake: Any,
    ) -> Rendered:
        script.write_text(json.dumps({"faults": list(faults)}))
        data = document(tmp_path / "out", videos=2, count=3, faults=str(script), **fake)
        spec = load({**data, "run": {"deadlines": {"decode": DEADLINE_S}}})
        events = render_on_ray(spec, Scope(str(tmp_path / "runs"), until=until), RayOptions(topology))
        return collected(meanwhile(event) or event for event in events)

    return run


def processes(folder: Path, task: str) -> list[int]:
    """The processes that began the task, in order."""
    steps = [json.loads(line) for line in (folder / "trace").read_text().splitlines()]
    return [step["pid"] for step in steps if step["task"] == task and step["event"] == "begin"]


@pytest.mark.parametrize(
    ("do", "why"),
    [
        ("exit", "died"),
        ("kill", "died"),
        ("device_lost", "CUDA error"),
        ("hang", "no result after 6 s"),
        pytest.param("stop", "no result after 6 s", marks=pytest.mark.slow),
    ],
)
def test_a_lost_or_hanging_worker_is_replaced(
    play: Play, tmp_path: Path, reference: dict[str, str], do: str, why: str
) -> None:
    """The next attempt runs in another process, also where the old one still answered."""
    rendered = play({"task": TASK, "attempts": [1], "do": do, "after_s": 0.4})
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    gone = [event for event in rendered.of(WorkerGone) if TASK in [lost.task for lost in event.lost]]
    assert len(gone) == 1
    assert why in gone[0].reason
    first, second = processes(tmp_path, TASK)
    assert first != second
    until(lambda: not alive({first}), 10, "the old process is gone")


@pytest.mark.slow
def test_a_worker_that_loses_its_device_every_time_costs_one_chain(
    play: Play, tmp_path: Path, reference: dict[str, str]
) -> None:
    rendered = play({"task": "take0/00001/sample", "do": "device_lost"}, topology="mono=2,segment=1")
    assert rendered.outcome == "partial"
    assert rendered.films == {"take1": reference["take1"]}
    assert len(set(processes(tmp_path, "take0/00001/sample"))) == 5


def test_a_full_disk_under_a_worker_pauses_the_job(play: Play, reference: dict[str, str]) -> None:
    stuck = play({"task": TASK, "do": "disk_full"})
    assert stuck.outcome == PAUSED
    assert [failure.kind for failure in stuck.of(TaskFailed)] == ["storage"]
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)


def test_faults_of_every_other_kind_in_one_film(play: Play, reference: dict[str, str]) -> None:
    faults = {
        "take0/00000/decode": ("oom", "oom"),
        "take0/00001/sample": ("nan", "bad_output"),
        "take0/00002/upscale": ("raise", "bug"),
        "take1/00000/sample": ("shape", "bad_output"),
        "take1/00001/decode": ("black", "bad_output"),
        "take1/00002/decode": ("short", "bad_output"),
    }
    rendered = play(
        *({"task": task, "attempts": [1], "do": do} for task, (do, _) in faults.items()),
        topology="mono=2,segment=1",
    )
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    assert {event.task: event.kind for event in rendered.of(TaskFailed)} == {
        task: kind for task, (_, kind) in faults.items()
    }
    assert all(len(set(workers)) == 2 for workers in moved(rendered))


def moved(rendered: Rendered) -> list[list[str]]:
    """The workers of each task that was to be tried elsewhere, of those that failed once there was one."""
    ready = [event for event in rendered.events if isinstance(event, WorkerReady) and "mono" in event.worker]
    late = rendered.events[rendered.events.index(ready[1]) :]
    tasks = [event.task for event in late if isinstance(event, TaskFailed) and event.kind != "oom"]
    started = rendered.of(TaskStarted)
    return [[event.worker for event in started if event.task == task] for task in tasks]


@pytest.mark.slow
def test_a_worker_that_a_full_node_kills_climbs_the_ladder(tmp_path: Path, reference: dict[str, str]) -> None:
    """Ray ends the worker when the node has a gigabyte less than before."""
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": TASK, "attempts": [1], "do": "hoard"}]}))
    data = document(tmp_path / "out", videos=2, count=3, faults=str(script))
    memory = meminfo()
    share = 1.0 - (memory["MemAvailable"] - 2**30) / memory["MemTotal"]
    with ray_head(1, 2, RAY_memory_usage_threshold=f"{share:.4f}") as head:
        words = ("-t", TOPOLOGY, "--address", head.gcs_address)
        spec = write_spec(tmp_path, data)
        done = farm("render", spec, "--runs", tmp_path / "runs", *words, RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stderr
    log = records(tmp_path / "runs")
    failed = [(e["task"], e["kind"]) for e in log if e["event"] == "task_failed"]
    assert failed[0] == (TASK, "oom")
    assert {kind for _, kind in failed} == {"oom"}
    after = log[log.index(next(e for e in log if e["event"] == "task_failed")) :]
    again = next(e["event"] for e in after if e.get("worker") == "mono-0" and e["event"] in BEGINNINGS)
    assert again == "worker_placed", "a worker that is gone gets nothing"
    films = {e["video"]: e["sha256"] for e in log if e["event"] == "film_delivered" and not e["preview"]}
    assert films == reference


def meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines}


@pytest.mark.parametrize(
    ("task", "stopped_at"),
    [("take0/00001/sample", "take0/00002/sample"), ("take0/00000/segment", "take0/00002/decode")],
)
def test_decay_is_met_by_its_reader_and_mended_in_the_same_render(
    play: Play, tmp_path: Path, reference: dict[str, str], task: str, stopped_at: str
) -> None:
    """A damaged latent is found by a worker, a damaged segment when the film is joined."""
    stuck = play({"task": stopped_at, "do": "disk_full", "after_s": 0.5})
    assert stuck.outcome == PAUSED
    store = Store.open(str(tmp_path / "runs"), JOB)
    commit = store.commit(store.read_json(DIGESTS)["digests"][task])
    decay(tmp_path / "runs" / JOB / commit.file)
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)
    again = [e["task"] for e in records(tmp_path / "runs") if e["event"] == "task_committed"]
    twice = {name for name in again if again.count(name) > 1}
    assert task in twice
    assert twice <= {task, "take0/00000/decode"}


def decay(path: Path) -> None:
    """One byte changes, unseen."""
    seen = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_a_worker_that_dies_when_a_segment_is_to_be_made_again_comes_back(
    play: Play, tmp_path: Path, reference: dict[str, str]
) -> None:
    """All is computed, so that no schedule knew of the loss."""
    segments: list[str] = []

    def meanwhile(event: Event) -> None:
        if not isinstance(event, TaskCommitted) or not event.task.endswith("segment"):
            return
        segments.append(event.task)
        if event.task == "take1/00000/segment" and segments.count(event.task) == 1:
            store = Store.open(str(tmp_path / "runs"), JOB)
            commit = store.commit(store.read_json(DIGESTS)["digests"][event.task])
            decay(tmp_path / "runs" / JOB / commit.file)
        if len(segments) == len(reference) * 3:
            os.kill(processes(tmp_path, segments[-1])[-1], signal.SIGKILL)

    rendered = play(topology="mono=1,segment=1", meanwhile=meanwhile)
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    assert len(segments) == len(reference) * 3 + 1


@pytest.mark.parametrize("topology", ["mono=2,segment=1", "mono=1,segment=1"])
def test_a_successor_that_does_not_see_the_storage_is_left_out(
    play: Play, tmp_path: Path, reference: dict[str, str], topology: str
) -> None:
    """Its node is at fault, the others go on. Without others the job ends, and says what is missing."""
    task = "take0/00000/sample"

    def meanwhile(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.task == task:
            for proof in (tmp_path / "out").glob(".farm-probe-*"):
                proof.unlink()

    fault = {"task": task, "attempts": [1], "do": "kill", "after_s": 0.4}
    rendered = play(fault, topology=topology, meanwhile=meanwhile, upscale_s=3.0)
    assert any("does not share the driver's storage" in event.reason for event in rendered.of(WorkerGone))
    if topology == "mono=2,segment=1":
        assert (rendered.outcome, rendered.films) == (DONE, reference)
    else:
        assert rendered.outcome == FAILED


def test_a_stage_that_has_nothing_to_do_needs_no_worker(play: Play, reference: dict[str, str]) -> None:
    assert play(topology="mono=1", until=Stage.SAMPLE).outcome == "stopped_early"
    rest = play(topology="upscale=1,decode=1,segment=1")
    assert (rest.outcome, rest.films) == (DONE, reference)
    assert {event.stages for event in rest.of(WorkerPlaced)} == {("upscale",), ("decode",), ("segment",)}


def test_a_damaged_result_of_a_stage_without_worker_pauses_the_job(
    play: Play, tmp_path: Path, reference: dict[str, str]
) -> None:
    task = "take0/00001/sample"
    play(topology="mono=1", until=Stage.SAMPLE)

    def meanwhile(event: Event) -> None:
        if isinstance(event, JobPlanned):
            store = Store.open(str(tmp_path / "runs"), JOB)
            decay(tmp_path / "runs" / JOB / store.commit(store.read_json(DIGESTS)["digests"][task]).file)

    stuck = play(topology="upscale=1,decode=1,segment=1", meanwhile=meanwhile)
    assert stuck.outcome == PAUSED
    told = f"{task} has to be made again, and no worker of this render hosts sample"
    assert told in stuck.events[-1].state["reason"]
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)

"""Rows of the failure table: workers that die, lose their device or hang, and results that decay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash, Fate, Hang
from farm.events import (
    Event,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    WorkerGone,
    WorkerPlaced,
)
from farm.state.job_state import DONE, FAILED, PAUSED
from jobs.errors import FailureKind
from jobs.store.documents import DIGESTS
from jobs.store.store import Store
from jobs.tasks.task import Stage
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, Rendered, document, records

TOPOLOGY = "mono=1,segment=1"
TASK = "take0/00001/decode"
DEADLINE_S = 6.0
Films = dict[str, str]


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., Films]) -> Films:
    return serial_films(videos=2, count=3)


Play = Callable[..., Rendered]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Render under a script of faults that steps act out, on a cluster with `dooms`."""
    script = tmp_path / "faults.json"

    def run(
        *faults: dict[str, Any],
        dooms: tuple[Doom, ...] = (),
        topology: str = TOPOLOGY,
        cluster: LocalCluster | None = None,
        **more: Any,
    ) -> Rendered:
        script.write_text(json.dumps({"faults": list(faults)}))
        data = document(tmp_path / "out", videos=2, count=3, faults=str(script))
        data = {**data, "run": {"deadlines": {"decode": DEADLINE_S}}}
        here = cluster or LocalCluster(fates=Dooms(*dooms))
        return render(tmp_path / "runs", data, topology, here, **more)

    return run


def damage(folder: Path, task: str) -> None:
    """One byte of the task's result changes, unseen."""
    store = Store.open(str(folder / "runs"), JOB)
    digests: Any = store.read_json(DIGESTS)
    commit = store.commit(digests["digests"][task])
    assert commit is not None
    path = folder / "runs" / JOB / commit.file
    seen = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize(
    ("fate", "why"),
    [
        (Crash(0.4), "the process was killed"),
        (Crash(0.4, noticed_s=20.0), "no result after 6 s"),
        (Crash(0.4, zombie_s=0.4), "the process was killed"),
        (Crash(0.4, zombie_s=60.0), "the process was killed"),
        (Hang(), "no result after 6 s"),
        (Hang(zombie_s=7.0), "no result after 6 s"),
    ],
    ids=["dies", "dies unseen", "commits and dies", "commits long after", "hangs", "hangs and answers late"],
)
def test_a_lost_or_hanging_worker_is_replaced(play: Play, reference: Films, fate: Fate, why: str) -> None:
    """The next attempt runs in another process, also where the old one still works."""
    rendered = play(dooms=(Doom(TASK, fate),))
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    replaced(rendered, why)


def test_a_worker_that_loses_its_device_is_replaced(play: Play, reference: Films) -> None:
    """It still answers."""
    rendered = play({"task": TASK, "attempts": [1], "do": "device_lost"})
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    replaced(rendered, "CUDA error")


def replaced(rendered: Rendered, why: str) -> None:
    """The task's worker was given up once, and another process of it came before it was at work again."""
    gone = [event for event in rendered.of(WorkerGone) if TASK in [lost.task for lost in event.lost]]
    assert len(gone) == 1
    assert why in gone[0].reason
    after = rendered.events[rendered.events.index(gone[0]) :]
    mine = [event for event in after if getattr(event, "worker", "") == gone[0].worker]
    beginnings = [type(event) for event in mine if isinstance(event, WorkerPlaced | TaskStarted)]
    assert beginnings[0] is WorkerPlaced
    committed = [event.task for event in rendered.of(TaskCommitted)]
    assert len(committed) == len(set(committed))


def test_a_worker_that_loses_its_device_every_time_costs_one_chain(play: Play, reference: Films) -> None:
    rendered = play({"task": "take0/00001/sample", "do": "device_lost"}, topology="mono=2,segment=1")
    assert rendered.outcome == "partial"
    assert rendered.films == {"take1": reference["take1"]}
    started = [event for event in rendered.of(TaskStarted) if event.task == "take0/00001/sample"]
    assert len(started) == 5
    assert len([event for event in rendered.of(WorkerGone) if "CUDA error" in event.reason]) == 5


def test_a_full_disk_under_a_worker_pauses_the_job(play: Play, reference: Films) -> None:
    stuck = play({"task": TASK, "do": "disk_full"})
    assert stuck.outcome == PAUSED
    assert [failure.kind for failure in stuck.of(TaskFailed)] == ["storage"]
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)


def test_faults_of_every_other_kind_in_one_film(play: Play, reference: Films) -> None:
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
    workers = moved(rendered)
    assert len(workers) == 5
    assert all(len(set(each)) == 2 for each in workers)


def moved(rendered: Rendered) -> list[list[str]]:
    """The workers of each task that was to be tried elsewhere."""
    tasks = [event.task for event in rendered.of(TaskFailed) if event.kind != "oom"]
    started = rendered.of(TaskStarted)
    return [[event.worker for event in started if event.task == task] for task in tasks]


def test_a_worker_that_a_full_node_kills_climbs_the_ladder(play: Play, reference: Films) -> None:
    rendered = play(dooms=(Doom(TASK, Crash(0.4, reason="the node is full", kind=FailureKind.OOM)),))
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    assert [(event.task, event.kind) for event in rendered.of(TaskFailed)] == [(TASK, "oom")]
    after = rendered.events[rendered.events.index(rendered.of(TaskFailed)[0]) :]
    beginnings = [event for event in after if isinstance(event, WorkerPlaced | TaskStarted)]
    again = next(event for event in beginnings if event.worker == "mono-0")
    assert isinstance(again, WorkerPlaced), "a worker that is gone gets nothing"


@pytest.mark.parametrize(
    ("task", "stopped_at"),
    [("take0/00001/sample", "take0/00002/sample"), ("take0/00000/segment", "take0/00002/decode")],
)
def test_decay_is_met_by_its_reader_and_mended_in_the_same_render(
    play: Play, tmp_path: Path, reference: Films, task: str, stopped_at: str
) -> None:
    """A damaged latent is found by a worker, a damaged segment when the film is joined."""
    seen: set[str] = set()

    def full_once_done(event: Event) -> None:
        if isinstance(event, TaskCommitted):
            seen.add(event.task)

    stuck = play({"task": stopped_at, "do": "disk_full"}, meanwhile=full_once_done)
    assert stuck.outcome == PAUSED
    assert task in seen
    damage(tmp_path, task)
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)
    again = [e["task"] for e in records(tmp_path / "runs") if e["event"] == "task_committed"]
    twice = {name for name in again if again.count(name) > 1}
    assert task in twice
    assert twice <= {task, "take0/00000/decode"}


def test_a_worker_that_dies_when_a_segment_is_to_be_made_again_comes_back(
    play: Play, tmp_path: Path, reference: Films
) -> None:
    """All is computed, so that no schedule knew of the loss."""
    segments: list[str] = []
    cluster = LocalCluster()

    def meanwhile(event: Event) -> None:
        if not isinstance(event, TaskCommitted) or not event.task.endswith("segment"):
            return
        segments.append(event.task)
        if event.task == "take1/00000/segment" and segments.count(event.task) == 1:
            damage(tmp_path, event.task)
        if len(segments) == len(reference) * 3:
            cluster.process("segment-0").die("killed")

    rendered = play(cluster=cluster, meanwhile=meanwhile)
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    assert len(segments) == len(reference) * 3 + 1


@pytest.mark.parametrize("topology", ["mono=2,segment=1", "mono=1,segment=1"])
def test_a_successor_that_does_not_see_the_storage_is_left_out(
    play: Play, tmp_path: Path, reference: Films, topology: str
) -> None:
    """Its node is at fault, the others go on. Without others the job ends, and says what is missing."""
    task = "take0/00000/sample"

    def meanwhile(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.task == task:
            for proof in (tmp_path / "out").glob(".farm-probe-*"):
                proof.unlink()

    rendered = play(dooms=(Doom(task, Crash(0.4)),), topology=topology, meanwhile=meanwhile)
    assert any("does not share the driver's storage" in event.reason for event in rendered.of(WorkerGone))
    if topology == "mono=2,segment=1":
        assert (rendered.outcome, rendered.films) == (DONE, reference)
    else:
        assert rendered.outcome == FAILED


def test_a_stage_that_has_nothing_to_do_needs_no_worker(play: Play, reference: Films) -> None:
    assert play(topology="mono=1", until=Stage.SAMPLE).outcome == "stopped_early"
    rest = play(topology="upscale=1,decode=1,segment=1")
    assert (rest.outcome, rest.films) == (DONE, reference)
    assert {event.stages for event in rest.of(WorkerPlaced)} == {("upscale",), ("decode",), ("segment",)}


def test_a_damaged_result_of_a_stage_without_worker_pauses_the_job(
    play: Play, tmp_path: Path, reference: Films
) -> None:
    task = "take0/00001/sample"
    play(topology="mono=1", until=Stage.SAMPLE)

    def meanwhile(event: Event) -> None:
        if isinstance(event, JobPlanned):
            damage(tmp_path, task)

    stuck = play(topology="upscale=1,decode=1,segment=1", meanwhile=meanwhile)
    assert stuck.outcome == PAUSED
    told = f"{task} has to be made again, and no worker of this render hosts sample"
    assert told in stuck.reason
    rest = play()
    assert (rest.outcome, rest.films) == (DONE, reference)

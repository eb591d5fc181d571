"""Storage under workers and driver at once: a disk that is full, and one that becomes read-only."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.storage import StorageProof, plant
from farm.events import Event, JobFinished, TaskCommitted, WorkerReady
from farm.state.job_state import DONE, PAUSED
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, Rendered, document, render_alone

TOPOLOGY = "sample=1,decode=1,segment=1"
ROOM_BYTES = 300 << 10
"""For a few results and not for all."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", plain(folder / "out")).films


def plain(out: Path) -> dict[str, Any]:
    return {**document(out), "upscale": None}


@pytest.fixture
def runs(tmp_path: Path, small_disk: Callable[[Path, int], None]) -> Path:
    small_disk(tmp_path / "runs", 3)
    return tmp_path / "runs"


def committed(rendered: Rendered) -> set[str]:
    return {event.task for event in rendered.of(TaskCommitted)}


def assert_continued(stuck: Rendered, rest: Rendered, reference: dict[str, str]) -> None:
    assert stuck.outcome == PAUSED
    assert (rest.outcome, rest.films) == (DONE, reference)
    assert committed(stuck)
    assert committed(stuck).isdisjoint(committed(rest))


def reason(rendered: Rendered) -> str:
    last = rendered.events[-1]
    assert isinstance(last, JobFinished)
    return str(last.state["reason"])


def once(comes: Callable[[Event], bool], happens: Callable[[], object]) -> Callable[[Event], None]:
    """Something happens to the medium when an event has come."""
    left = [happens]

    def meanwhile(event: Event) -> None:
        if left and comes(event):
            left.pop()()

    return meanwhile


def all_ready() -> Callable[[Event], bool]:
    """The last worker of the topology has opened the store."""
    ready: set[str] = set()

    def comes(event: Event) -> bool:
        if isinstance(event, WorkerReady):
            ready.add(event.worker)
        return len(ready) == TOPOLOGY.count("=")

    return comes


def decoded(event: Event) -> bool:
    return isinstance(event, TaskCommitted) and event.task.endswith("decode")


def fill(runs: Path, room_bytes: int) -> None:
    (runs / "filler").write_bytes(b"\0" * (shutil.disk_usage(runs).free - room_bytes))


def test_a_full_disk_pauses_with_path_and_need(tmp_path: Path, runs: Path, reference: dict[str, str]) -> None:
    full_disk = once(all_ready(), lambda: fill(runs, ROOM_BYTES))
    stuck = render(runs, plain(tmp_path / "out"), TOPOLOGY, meanwhile=full_disk)
    full = rf"{runs}/{JOB}/(artifacts|commits)/\S+ the disk is full .needs [\d,]+ bytes"
    assert re.search(full, reason(stuck))
    (runs / "filler").unlink()
    assert_continued(stuck, render(runs, plain(tmp_path / "out"), TOPOLOGY), reference)


def test_workers_that_come_to_a_full_disk_pause_the_job(
    tmp_path: Path,
    runs: Path,
    reference: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fills up when the driver has written its proof of shared storage, before a worker has read it.

    The driver gives its reserve up to go on writing, so that a worker may still open the store.
    """

    def plant_then_fill(*values: Any) -> StorageProof:
        proof = plant(*values)
        fill(runs, 0)
        return proof

    with monkeypatch.context() as patch:
        patch.setattr("cluster.storage.plant", plant_then_fill)
        stuck = render(runs, plain(tmp_path / "out"), TOPOLOGY)
    assert stuck.outcome == PAUSED
    assert re.search(rf"{runs}/{JOB}(/\S+)?: the disk is full .*resume the job", reason(stuck))
    (runs / "filler").unlink()
    rest = render(runs, plain(tmp_path / "out"), TOPOLOGY)
    assert (rest.outcome, rest.films) == (DONE, reference)


def test_a_medium_that_becomes_read_only_pauses(
    tmp_path: Path, runs: Path, reference: dict[str, str]
) -> None:
    stuck = render(
        runs, plain(tmp_path / "out"), TOPOLOGY, meanwhile=once(decoded, lambda: remount(runs, "ro"))
    )
    remount(runs, "rw")
    assert "the file system is read-only" in reason(stuck)
    assert_continued(stuck, render(runs, plain(tmp_path / "out"), TOPOLOGY), reference)


def remount(place: Path, mode: str) -> None:
    """Refused while a file is open for writing: tried until none is."""
    command = ["mount", "-o", f"remount,{mode}", str(place)]
    for _ in range(200):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
    subprocess.run(command, check=True)

"""Storage under workers and driver at once: a disk that is full, one that becomes read-only, a bucket."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.session import Session
from farm.driver import RayOptions, render_on_ray
from farm.events import Event, JobFinished, TaskCommitted
from farm.session import Scope
from farm.state import DONE, PAUSED
from tests.ray.commands import farm, write_spec
from tests.ray.specs import JOB, Rendered, collected, document, load, records, render, render_alone

TOPOLOGY = "sample=1,decode=1,segment=1"
ROOM_BYTES = 300 << 10
"""For a few results and not for all."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", plain(folder / "out")).films


def plain(out: Path) -> dict:
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
    return last.state["reason"]


def test_a_full_disk_pauses_with_path_and_need(
    ray_session: Session, tmp_path: Path, runs: Path, reference: dict[str, str]
) -> None:
    filler = runs / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(runs).free - ROOM_BYTES))
    stuck = render(runs, plain(tmp_path / "out"), TOPOLOGY)
    assert re.search(rf"{runs}/{JOB}/artifacts/\S+ the disk is full .needs \d+ bytes", reason(stuck))
    filler.unlink()
    assert_continued(stuck, render(runs, plain(tmp_path / "out"), TOPOLOGY), reference)


def test_a_medium_that_becomes_read_only_pauses(
    ray_session: Session, tmp_path: Path, runs: Path, reference: dict[str, str]
) -> None:
    def pulled(events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            yield event
            if isinstance(event, TaskCommitted) and event.task.endswith("decode"):
                remount(runs, "ro")

    events = render_on_ray(load(plain(tmp_path / "out")), Scope(str(runs)), RayOptions(TOPOLOGY))
    stuck = collected(pulled(events))
    remount(runs, "rw")
    assert "the file system is read-only" in reason(stuck)
    assert_continued(stuck, render(runs, plain(tmp_path / "out"), TOPOLOGY), reference)


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def test_a_bucket_serves_as_well(s3_url: str, tmp_path: Path, reference: dict[str, str]) -> None:
    """Its workers are processes that know the server from their environment."""
    spec = write_spec(tmp_path, plain(tmp_path / "out"))
    done = farm("render", spec, "--runs", f"{s3_url}/ray", "-t", TOPOLOGY)
    assert done.returncode == 0, done.stderr
    log = records(f"{s3_url}/ray")
    films = {e["video"]: e["sha256"] for e in log if e["event"] == "film_delivered" and not e["preview"]}
    assert films == reference

"""Storage that goes away in the middle of a render pauses the job; when it is back, the job goes on."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from farm.state.job_state import DONE, PAUSED
from tests.ray.kit.commands import started, wait_for_commits
from tests.ray.kit.head import free_port

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace

BEFORE = 5
"""Commits before the storage goes away."""


def pull_the_plug(workspace: Workspace, runs: str, pull: Callable[[], None]) -> tuple[list[str], JobFinished]:
    """What was committed, and how the render ended that lost its storage."""
    done: list[str] = []
    last = None
    for last in render(workspace.spec(), runs=runs, serial=True):
        if isinstance(last, TaskCommitted):
            done.append(last.task)
            if len(done) == BEFORE:
                pull()
    assert isinstance(last, JobFinished)
    return done, last


def films(last: JobFinished) -> dict[str, str]:
    return {film["name"]: film["sha256"] for film in last.state["videos"]}


@pytest.fixture
def undisturbed(workspace: Workspace) -> dict[str, str]:
    workspace.clear()
    found = workspace.render().films
    workspace.clear()
    return found


@pytest.fixture
def mounted(workspace: Workspace, mount: Callable[..., None]) -> Path:
    """The runs directory as the mount of another place."""
    there = workspace.root / "there"
    there.mkdir()
    mount(workspace.runs, "--bind", str(there))
    return there


def unmount(place: Path) -> None:
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_lost_mount_pauses_the_job_and_no_result_is_written_under_it(
    workspace: Workspace, undisturbed: dict[str, str], mounted: Path
) -> None:
    done, last = pull_the_plug(workspace, str(workspace.runs), lambda: unmount(workspace.runs))
    assert (last.outcome, len(done)) == (PAUSED, BEFORE)
    assert re.search(
        rf"{workspace.job_dir}/\S+ the folder is not there any more .*resume the job", last.state["reason"]
    )
    assert not workspace.job_dir.exists()
    subprocess.run(["mount", "--bind", str(mounted), str(workspace.runs)], check=True)
    rest = workspace.render()
    assert (rest.outcome, rest.films, rest.reused) == (DONE, undisturbed, BEFORE)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Callable[[], None]]]:
    """Starts an S3 server, always at one address with what it held before; gives what stops it."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    port = free_port()
    running: list[object] = []

    def start() -> Callable[[], None]:
        serving = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        serving.start()
        running.append(serving)
        return stop

    def stop() -> None:
        running.pop().stop()  # type: ignore[attr-defined]

    names = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield start
    s3fs.S3FileSystem.clear_instance_cache()
    while running:
        stop()


def test_an_object_store_that_does_not_answer_pauses_the_job(
    workspace: Workspace, undisturbed: dict[str, str], server: Callable[[], Callable[[], None]]
) -> None:
    import s3fs

    stop = server()
    s3fs.S3FileSystem().mkdir("outage")
    runs = "s3://outage/runs"
    done, last = pull_the_plug(workspace, runs, stop)
    assert (last.outcome, len(done)) == (PAUSED, BEFORE)
    assert re.search(r"s3://outage/runs/harbor/\S+ Could not connect.*resume the job", last.state["reason"])
    server()
    *_, rest = render(workspace.spec(), runs=runs, serial=True)
    assert isinstance(rest, JobFinished)
    assert (rest.outcome, films(rest), rest.state["tasks"]["reused"]) == (DONE, undisturbed, BEFORE)


@pytest.mark.parametrize("left", ["nothing", "an empty mount point", "an empty run directory"])
def test_the_command_says_that_its_storage_went_away_and_writes_nothing_in_its_place(
    workspace: Workspace, undisturbed: dict[str, str], left: str
) -> None:
    spec = workspace.root / "film.yaml"
    engine = {"name": "fake", "fake": {"sample_s": 0.2}}
    spec.write_text(yaml.safe_dump(workspace.spec(engine=engine)))
    away = workspace.root / "away"
    words = ("render", spec, "--serial", "--runs", workspace.runs)
    with started(*words, log=workspace.root / "log") as driver:
        wait_for_commits(workspace.runs, BEFORE)
        workspace.runs.rename(away)
        if left != "nothing":
            (workspace.job_dir if left.endswith("directory") else workspace.runs).mkdir(parents=True)
        before = {path for path in workspace.root.rglob("*") if workspace.runs in path.parents}
        assert driver.wait(timeout=30) == 3
    said = (workspace.root / "log").read_text()
    assert re.search(
        r"paused: (storage: )?\S+harbor\S*: the folder is not there any more .a lost mount, or moved.", said
    )
    assert f"next: restore it, then `farm resume harbor --serial --runs {workspace.runs}`" in said
    assert "no job" not in said
    assert {path for path in workspace.root.rglob("*") if workspace.runs in path.parents} == before
    if workspace.runs.exists():
        shutil.rmtree(workspace.runs)
    away.rename(workspace.runs)
    rest = workspace.render(engine=engine)
    assert (rest.outcome, rest.films) == (DONE, undisturbed)
    assert rest.reused >= BEFORE

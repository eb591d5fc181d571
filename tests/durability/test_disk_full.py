"""A full disk pauses the job with path and need; once there is space it goes on, and the film is equal."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from farm.state.job_state import DONE, PAUSED
from farm.verbs.status import job_status
from farm.verbs.why import why_job

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace


@pytest.fixture
def small_runs(workspace: Workspace, small_disk: Callable[[Path, int], None]) -> Path:
    """The runs directory as a file system of 3 MiB."""
    small_disk(workspace.runs, 3)
    return workspace.runs


@pytest.fixture
def films(workspace: Workspace) -> dict[str, str]:
    """What the undisturbed render gives."""
    workspace.clear()
    result = workspace.render()
    workspace.clear()
    assert result.outcome == DONE
    return result.films


def fill(place: Path, leave_bytes: int) -> Path:
    """Use the file system up to `leave_bytes`."""
    filler = place / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(place).free - leave_bytes))
    return filler


def test_a_medium_that_becomes_read_only_pauses_the_job(
    workspace: Workspace, films: dict[str, str], small_runs: Path
) -> None:
    """Nothing can be written any more, not even how the job stands: the event says it."""
    done: list[str] = []
    events = render(workspace.spec(), runs=str(workspace.runs), serial=True)
    for event in events:
        if isinstance(event, TaskCommitted):
            done.append(event.task)
            if len(done) == 5:
                remount(small_runs, "ro")
        elif isinstance(event, JobFinished):
            assert event.outcome == PAUSED
            assert re.search(rf"{workspace.job_dir}/\S+ the file system is read-only", event.state["reason"])
    remount(small_runs, "rw")
    rest = workspace.render()
    assert (rest.outcome, rest.films, rest.reused) == (DONE, films, 5)


def remount(place: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


@pytest.mark.parametrize("leave_kib", [900, 600, 400])
def test_the_job_pauses_and_goes_on(
    workspace: Workspace, films: dict[str, str], small_runs: Path, leave_kib: int
) -> None:
    filler = fill(small_runs, leave_kib << 10)
    stuck = workspace.render()
    assert stuck.outcome == PAUSED
    assert re.search(rf"{workspace.job_dir}/artifacts/\S+ the disk is full .needs [\d,]+ bytes", stuck.reason)
    status = job_status(str(workspace.runs), "harbor")
    assert (status.outcome, status.reason) == (PAUSED, stuck.reason)
    step = why_job(str(workspace.runs), "harbor").next_step
    assert step.startswith(f"remove the cause, then `farm resume harbor --serial --runs {workspace.runs}`")
    filler.unlink()
    rest = workspace.render()
    assert (rest.outcome, rest.films) == (DONE, films)
    assert rest.reused >= len(stuck.computed)
    assert not set(rest.computed) & set(stuck.computed)

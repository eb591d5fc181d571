"""A driver that is stopped or killed: nothing is lost, nobody is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.events import JobPlanned, TaskCommitted
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.kit.commands import committed, started, wait_for_commits, write_spec
from tests.ray.kit.processes import alive, descendants, farm_workers, until
from tests.ray.kit.specs import JOB, Rendered, document, render_alone

if TYPE_CHECKING:
    from tests.ray.kit.head import Head


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., dict[str, str]]) -> dict[str, str]:
    return serial_films(videos=1, count=4)


def resumed(runs: Path, out: Path) -> Rendered:
    return render_alone(runs, document(out, videos=1, count=4, sample_s=0.4))


def assert_continued(before: list[str], after: Rendered, reference: dict[str, str]) -> None:
    again = {event.task for event in after.of(TaskCommitted)}
    (planned,) = after.of(JobPlanned)
    assert planned.reused >= len(before) > 0
    assert again.isdisjoint(before)
    assert after.outcome == "done"
    assert after.films == reference


@pytest.mark.parametrize(
    "number",
    # The kill matrix kills one whose cluster lives on.
    [
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_local_driver(tmp_path: Path, reference: dict[str, str], number: signal.Signals) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    spec = write_spec(tmp_path, document(out, videos=1, count=4, sample_s=0.4))
    words = ("render", spec, "--runs", runs, "--topology", "mono=1,segment=1")
    node = tmp_path / "tmp"
    node.mkdir()
    with started(*words, log=tmp_path / "log", TMPDIR=str(node), RAY_TMPDIR="/tmp") as driver:
        wait_for_commits(runs, 4)
        until(lambda: any(node.glob("ltx-farm-*/")), 20, "a task is in work")
        # Ray's own agents end by themselves a minute after a raylet that was killed.
        family = descendants(driver.pid) if number == signal.SIGTERM else farm_workers(driver.pid)
        assert farm_workers(driver.pid)
        os.kill(driver.pid, number)
        code = driver.wait(timeout=20)
        until(lambda: not alive(family), 20, "nobody outlives the driver")
    if number == signal.SIGTERM:
        assert code == 4
        state = Store.open(str(runs), JOB).read_json(STATE)
        assert state is not None
        assert state["outcome"] == "interrupted"
        assert "SIGTERM" in state["reason"]
        assert list(node.glob("ltx-farm-*/")) == []
    before = committed(runs)
    assert_continued(before, resumed(runs, out), reference)


@pytest.mark.slow
def test_driver_of_a_shared_cluster(head: Head, tmp_path: Path, reference: dict[str, str]) -> None:
    """The cluster lives on; the killed driver's workers do not."""
    runs, out = tmp_path / "runs", tmp_path / "out"
    spec = write_spec(tmp_path, document(out, videos=1, count=4, sample_s=0.4))
    words = ("render", spec, "--runs", runs, "--topology", "sample=1,upscale=1,decode=1,segment=1")
    with started(
        *words, "--address", head.gcs_address, log=tmp_path / "log", RAY_AUTH_MODE="disabled"
    ) as driver:
        wait_for_commits(runs, 4)
        workers = farm_workers(head.pid)
        assert len(workers) == 4
        os.kill(driver.pid, signal.SIGKILL)
        until(lambda: not alive(workers), 20, "no worker outlives its driver")
    assert_continued(committed(runs), resumed(runs, out), reference)

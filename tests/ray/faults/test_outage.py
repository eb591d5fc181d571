"""The cluster itself dies: the driver ends in bounded time, says why, and the job goes on from there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from farm.state.job_state import PAUSED
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.kit.commands import committed, started, wait_for_commits, write_spec
from tests.ray.kit.processes import descendants, title, until
from tests.ray.kit.specs import JOB, document, render_alone

BOUND_S = 60.0
ALERT = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
"""Else Ray takes up to half a minute to declare a node dead."""


@pytest.mark.long
def test_the_only_raylet_is_killed(tmp_path: Path) -> None:
    data, runs, log = document(tmp_path / "out", 1, 2, sample_s=0.5), tmp_path / "runs", tmp_path / "log"
    words = (write_spec(tmp_path, data), "--runs", runs, "-t", "mono=1,segment=1")
    with started("render", *words, log=log, RAY_AUTH_MODE="disabled", **ALERT) as driver:
        wait_for_commits(runs, 2)
        (raylet,) = (pid for pid in descendants(driver.pid) if "raylet/raylet" in title(pid))
        os.kill(raylet, signal.SIGKILL)
        killed_s = time.monotonic()
        until(lambda: driver.poll() is not None, BOUND_S, "the driver ends")
    assert driver.returncode == 3, log.read_text()
    print(f"ended {time.monotonic() - killed_s:.0f} s after the raylet")
    state = Store.find(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert state["outcome"] == PAUSED
    # Either worker may have been the first to be lost.
    assert "this render's own Ray has failed: no sign of a node that can hold " in state["reason"]
    before = committed(runs)
    assert render_alone(runs, data).outcome == "done"
    assert len(set(committed(runs))) == len(committed(runs)) > len(before)

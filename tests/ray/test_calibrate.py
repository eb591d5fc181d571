"""A driver that is stopped while it measures stage times."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.kit.commands import started, write_spec
from tests.ray.kit.processes import alive, descendants, farm_workers, until
from tests.ray.kit.specs import JOB, tiny_document


def test_a_stop_during_the_probe(tmp_path: Path) -> None:
    """The driver ends at once, resumable, and takes the probe's workers along."""
    spec = write_spec(tmp_path, tiny_document(tmp_path / "out", 1, 4))
    log = tmp_path / "log"
    with started("render", spec, "--runs", tmp_path / "runs", "--gpus", 2, log=log) as driver:
        until(lambda: "measuring" in log.read_text(), 120, "the probe begins")
        until(lambda: bool(farm_workers(driver.pid)), 60, "it has a worker")
        family = descendants(driver.pid)
        os.kill(driver.pid, signal.SIGTERM)
        assert driver.wait(timeout=20) == 4
        until(lambda: not alive(family), 20, "nobody outlives the driver")
    state = Store.open(str(tmp_path / "runs"), JOB).read_json(STATE)
    assert state is not None
    assert (state["outcome"], "SIGTERM" in state["reason"]) == ("interrupted", True)

"""Gangs on Ray: a rank that is killed or stopped costs its worker, and no film."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import Event, TaskStarted, WorkerGone, WorkerReady
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from tests.ray.kit.specs import collected, document, load


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_rank_is_killed_and_another_one_stopped(
    tmp_path: Path, serial_films: Callable[..., dict[str, str]]
) -> None:
    """In the first chunk and in the second; the stopped one is found by the deadline of its task."""
    data = document(tmp_path / "out", videos=1, count=3, sample_s=1.0)
    data["run"] = {"deadlines": {"sample": 8.0}}
    options = RayOptions("sample=1x2,upscale=1,decode=1,segment=1")
    how = {"00000/sample": signal.SIGKILL, "00001/sample": signal.SIGSTOP}
    pids: dict[str, int] = {}
    events: list[Event] = []
    for event in render_on_ray(load(data), Scope(str(tmp_path / "runs")), options):
        events.append(event)
        if isinstance(event, WorkerReady) and event.ranks:
            pids[event.worker] = event.ranks[1].pid
        if isinstance(event, TaskStarted) and (sent := how.pop(event.task.partition("/")[2], None)):
            os.kill(pids[event.worker], sent)
    rendered = collected(events)
    assert rendered.outcome == "done"
    killed, stopped = rendered.of(WorkerGone)
    assert "rank 1 of 2" in killed.reason
    assert "SIGKILL" in killed.reason
    assert "8 s" in stopped.reason
    assert rendered.films == serial_films(videos=1, count=3)

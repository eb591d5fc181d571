"""Gangs on Ray: a rank that is killed or stopped costs its worker, and no film."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import Event, TaskStarted, WorkerGone, WorkerReady
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from tests.actors.gang.test_bundled import GUIDER
from tests.ray.kit.specs import collected, document, load, render_alone, tiny_document


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


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ranks_are_lost_in_the_middle_of_a_step(tmp_path: Path) -> None:
    """Of the bundled model, between its forwards: the film is that of one undisturbed process."""
    data = tiny_document(tmp_path / "out", videos=1, count=2)
    data["defaults"] |= {"width": 128, "height": 128, "steps": 16, "cfg": 3.0, "guider": GUIDER}
    data["videos"][0]["sound"] = [{"generate": True}]
    wanted = render_alone(tmp_path / "alone", data).films
    data["run"]["deadlines"] = {"sample": 40.0}
    data["output"]["dir"] = str(tmp_path / "out of the gang")
    how = {"00000/sample": signal.SIGKILL, "00001/sample": signal.SIGSTOP}
    pids: dict[str, int] = {}
    events: list[Event] = []
    for event in render_on_ray(load(data), Scope(str(tmp_path / "runs")), RayOptions("mono=1x2")):
        events.append(event)
        if isinstance(event, WorkerReady) and event.ranks:
            pids[event.worker] = event.ranks[1].pid
        if isinstance(event, TaskStarted) and (sent := how.pop(event.task.partition("/")[2], None)):
            threading.Timer(1.5, os.kill, (pids[event.worker], sent)).start()
    rendered = collected(events)
    assert rendered.outcome == "done"
    killed, stopped = rendered.of(WorkerGone)
    assert "SIGKILL" in killed.reason
    assert "40 s" in stopped.reason
    for gone, task in ((killed, "take0/00000/sample"), (stopped, "take0/00001/sample")):
        assert task in [lost.task for lost in gone.lost]
    assert rendered.films == wanted

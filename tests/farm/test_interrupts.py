"""A signal whose KeyboardInterrupt was swallowed ends a render all the same, at the next place that looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import interrupts
from farm.api import render as render_here
from farm.events import Event, FilmDelivered, TaskCommitted, WorkerPlaced
from farm.output import delivery, stitch
from farm.state.job_state import INTERRUPTED
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, document

Swallow = Callable[[], None]


@pytest.fixture
def swallow(monkeypatch: pytest.MonkeyPatch) -> Swallow:
    """What is left of a signal that was heard, and whose exception nobody saw."""
    return lambda: monkeypatch.setattr(interrupts, "_signal", "SIGINT")


def assert_interrupted(runs: Path) -> None:
    state = Store.open(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert (state["outcome"], state["reason"]) == (INTERRUPTED, "stopped by SIGINT")


def test_on_ray_before_its_own_handlers_are_there(tmp_path: Path, swallow: Swallow) -> None:
    data = document(tmp_path / "out", videos=1, count=2)
    events: list[Event] = []
    swallow()
    with pytest.raises(KeyboardInterrupt):
        render(tmp_path / "runs", data, "mono", meanwhile=events.append)
    assert not any(isinstance(event, WorkerPlaced) for event in events)
    assert_interrupted(tmp_path / "runs")


def test_between_tasks(tmp_path: Path, swallow: Swallow) -> None:
    data, committed = document(tmp_path / "out", videos=1, count=2), []

    def meanwhile(event: Event) -> None:
        if isinstance(event, TaskCommitted):
            committed.append(event.task)
            swallow()

    with pytest.raises(KeyboardInterrupt):
        list(map(meanwhile, render_here(data, runs=str(tmp_path / "runs"), serial=True)))
    assert len(committed) == 1
    assert_interrupted(tmp_path / "runs")


def test_outside_the_render(tmp_path: Path, swallow: Swallow) -> None:
    """The exception is that of whoever takes the events: the render is closed, and sees none of it."""
    data = document(tmp_path / "out", videos=1, count=2)
    events = render_here(data, runs=str(tmp_path / "runs"), serial=True)
    assert any(isinstance(event, TaskCommitted) for event in events)
    swallow()
    events.close()
    assert_interrupted(tmp_path / "runs")


def test_while_a_film_is_waited_for(
    tmp_path: Path, swallow: Swallow, monkeypatch: pytest.MonkeyPatch
) -> None:
    assemble = stitch.assemble_film

    def slowly(*inputs: Any, **more: Any) -> Any:
        swallow()
        time.sleep(0.5)
        return assemble(*inputs, **more)

    monkeypatch.setattr(delivery, "LOOK_S", 0.1)
    monkeypatch.setattr(delivery, "assemble_film", slowly)
    data = document(tmp_path / "out", videos=1, count=1)
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        events.extend(render_here(data, runs=str(tmp_path / "runs"), serial=True))
    assert any(isinstance(event, TaskCommitted) for event in events)
    assert not any(isinstance(event, FilmDelivered) for event in events)
    assert_interrupted(tmp_path / "runs")

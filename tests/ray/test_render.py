"""A render on Ray: the films are those of the serial reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import TaskCommitted, TaskStarted, WorkerPlaced, WorkerReady
from tests.ray.kit.specs import document, render


@pytest.mark.usefixtures("ray_session")
def test_films_are_those_of_the_serial_reference(
    tmp_path: Path, serial_films: Callable[..., dict[str, str]]
) -> None:
    """Two workers of one stage, and two on halves of a GPU."""
    topology = "sample=2,upscale=1@0.5,decode=1@0.5,segment=1"
    rendered = render(tmp_path / "runs", document(tmp_path / "out", videos=2, count=3), topology)
    assert rendered.outcome == "done"
    assert rendered.films == serial_films(videos=2, count=3)
    started, committed = rendered.of(TaskStarted), rendered.of(TaskCommitted)
    assert sorted(event.task for event in started) == sorted(event.task for event in committed)
    assert {event.worker for event in rendered.of(WorkerPlaced)} >= {
        event.worker for event in rendered.of(WorkerReady)
    }

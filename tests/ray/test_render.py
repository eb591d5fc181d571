"""A render on Ray: the films are those of the serial reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import TaskCommitted, TaskStarted, WorkerPlaced, WorkerReady
from tests.ray.kit.specs import document, render


@pytest.mark.parametrize("topology", ["sample=2,upscale=1,decode=1,segment=1", "mono=2@0.5"])
@pytest.mark.usefixtures("ray_session")
def test_films_are_those_of_the_serial_reference(
    tmp_path: Path, serial_films: Callable[..., dict[str, str]], topology: str
) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out", videos=2, count=3), topology)
    assert rendered.outcome == "done"
    assert rendered.films == serial_films(videos=2, count=3)
    started, committed = rendered.of(TaskStarted), rendered.of(TaskCommitted)
    assert sorted(event.task for event in started) == sorted(event.task for event in committed)
    assert {event.worker for event in rendered.of(WorkerPlaced)} >= {
        event.worker for event in rendered.of(WorkerReady)
    }

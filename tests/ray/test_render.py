"""A render on Ray: the films are those of the serial reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import TaskCommitted, TaskStarted, WorkerPlaced, WorkerReady
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from tests.ray.kit.specs import collected, document, load


@pytest.mark.usefixtures("ray_session")
def test_films_are_those_of_the_serial_reference(
    s3_url: str, tmp_path: Path, serial_films: Callable[..., dict[str, str]]
) -> None:
    """Two workers of one stage, two on halves of a GPU, and runs in a bucket: the workers know its server
    from their environment."""
    options = RayOptions("sample=2,upscale=1@0.5,decode=1@0.5,segment=1")
    data, scope = load(document(tmp_path / "out", videos=2, count=2)), Scope(f"{s3_url}/ray")
    rendered = collected(render_on_ray(data, scope, options))
    assert rendered.outcome == "done"
    assert rendered.films == serial_films(videos=2, count=2)
    started, committed = rendered.of(TaskStarted), rendered.of(TaskCommitted)
    assert sorted(event.task for event in started) == sorted(event.task for event in committed)
    assert {event.worker for event in rendered.of(WorkerPlaced)} >= {
        event.worker for event in rendered.of(WorkerReady)
    }

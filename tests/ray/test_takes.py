"""Takes on Ray: workers make all of them, and a take that is picked is joined without sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm.events import TaskCommitted, WorkerReady
from farm.execution.driver import RayOptions, render_on_ray
from farm.execution.serial import render_serial
from farm.session.opening import Scope
from farm.verbs.pick import pick
from tests.ray.kit.specs import JOB, Rendered, collected, document, load

TOPOLOGY = "sample=2,upscale+decode=1,segment=1"


def takes(out: Path) -> dict[str, Any]:
    shots: list[dict[str, Any]] = [
        {"name": name, "seconds": 0.7, "prompt": f"shot {name}"} for name in ("pier", "street", "roof")
    ]
    shots[1]["takes"] = 3
    return {**document(out), "version": 3, "videos": [{"name": "film", "shots": shots}]}


def rendered(folder: Path, workers: bool = True) -> Rendered:
    data, scope = load(takes(folder / "out")), Scope(str(folder / "runs"))
    if not workers:
        return collected(render_serial(data, scope))
    return collected(render_on_ray(data, scope, RayOptions(TOPOLOGY)))


@pytest.mark.usefixtures("ray_session")
def test_a_take_that_is_picked_costs_no_task(tmp_path: Path) -> None:
    ray, alone = tmp_path / "ray", tmp_path / "alone"
    made, reference = rendered(ray), rendered(alone, workers=False)
    assert made.outcome == "done"
    assert made.films == reference.films
    assert sorted(made.films) == ["film", "film.street.take1", "film.street.take2", "film.street.take3"]
    assert len(made.of(WorkerReady)) == 4

    for folder in (ray, alone):
        assert pick(str(folder / "runs"), JOB, "street", 3).left == 0
    again, wanted = rendered(ray), rendered(alone, workers=False)
    assert (again.outcome, again.of(TaskCommitted)) == ("done", [])
    assert again.films["film"] == wanted.films["film"] != made.films["film"]

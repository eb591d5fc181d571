"""Several deliveries on a cluster that is made up: the films of the serial reference, and no decode twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from farm.events import Event, FilmDelivered, TaskStarted
from farm.state.progress import split_task
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import document, render_alone

DELIVERIES: list[dict[str, Any]] = [
    {},
    {"container": "mov", "codec": "prores", "sound": "pcm"},
    {"container": "mkv", "codec": "ffv1", "size": "60x60"},
]


def with_deliveries(out: Path, deliveries: list[dict[str, Any]]) -> dict[str, Any]:
    data = dict(document(out, videos=2, count=3))
    return {**data, "output": {**data["output"], "deliveries": deliveries}}


def delivered(events: list[Event]) -> dict[str, str]:
    films = (event for event in events if isinstance(event, FilmDelivered) and not event.preview)
    return {Path(film.path).name: film.sha256 for film in films}


def started(events: list[Event]) -> Counter[str]:
    return Counter(split_task(event.task)[2] for event in events if isinstance(event, TaskStarted))


@pytest.mark.parametrize("topology", ["mono=2", "sample=1,upscale=1,decode=1,segment=2"])
def test_deliveries_are_those_of_the_serial_reference(topology: str, tmp_path: Path) -> None:
    alone = render_alone(tmp_path / "alone", with_deliveries(tmp_path / "a", DELIVERIES))
    events: list[Event] = []
    data = with_deliveries(tmp_path / "b", DELIVERIES)
    rendered = render(tmp_path / "runs", data, topology, meanwhile=events.append)
    assert rendered.outcome == "done"
    assert len(delivered(events)) == 6
    assert delivered(events) == delivered(list(alone.events))
    assert started(events)["decode"] == 6
    assert started(events)["segment"] == 18


def test_a_delivery_that_is_added_is_decoded_and_encoded_alone(tmp_path: Path) -> None:
    events: list[Event] = []
    for deliveries in (DELIVERIES[:1], DELIVERIES[:2]):
        events.clear()
        data = with_deliveries(tmp_path / "out", deliveries)
        assert render(tmp_path / "runs", data, "mono=2", meanwhile=events.append).outcome == "done"
    assert started(events) == {"decode": 6, "segment": 6}

from __future__ import annotations

import dataclasses
import json

import pytest

from farm.events import EVENT_TYPES, Event, FilmDelivered, JobPlanned, TaskFailed, from_record, to_record


@pytest.mark.parametrize(
    "event",
    [
        TaskFailed("dawn/00001/decode", "w", 2, "oom", "out of memory", "next attempt tiles"),
        FilmDelivered("dawn", "/out/dawn.mp4", "ab" * 32, 577, 25.0),
        JobPlanned("j", "runs/j", ("a", "b"), 10, 4, 0, {"a": {"sample": 1}}, {"a": {"sample": 0}}),
    ],
    ids=lambda event: event.name,
)
def test_records_survive_json(event: Event) -> None:
    record = json.loads(json.dumps(to_record(event, 12.5)))
    assert record["at_s"] == 12.5
    assert from_record(record) == event


def test_unknown_records_are_skipped() -> None:
    assert from_record({"event": "from_the_future", "at_s": 1.0}) is None


def test_tags_are_unique_and_every_event_is_documented() -> None:
    assert all(kind.name == tag and kind.__doc__ for tag, kind in EVENT_TYPES.items())
    assert all(dataclasses.is_dataclass(kind) for kind in EVENT_TYPES.values())

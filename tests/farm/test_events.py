from __future__ import annotations

import dataclasses
import json

import pytest

from farm.events import (
    EVENT_TYPES,
    Event,
    FilmDelivered,
    JobPlanned,
    LostAttempt,
    TaskFailed,
    TaskStarted,
    WorkerGone,
    from_line,
    to_record,
)
from jobs.records import Unreadable


@pytest.mark.parametrize(
    "event",
    [
        TaskFailed("dawn/00001/decode", "w", 2, "oom", "out of memory", "next attempt tiles"),
        FilmDelivered("dawn", "/out/dawn.mp4", "ab" * 32, 577, 25.0),
        WorkerGone("w", "its node died", (LostAttempt("dawn/00001/decode", 2),)),
        JobPlanned("j", "runs/j", ("a", "b"), 10, 4, 0, {"a": {"sample": 1}}, {"a": {"sample": 0}}),
    ],
    ids=lambda event: event.name,
)
def test_records_survive_json(event: Event) -> None:
    line = json.dumps(to_record(event, 12.5))
    assert json.loads(line)["format"] == 1
    assert from_line(line) == (12.5, event)


def test_fields_of_another_version_are_passed_over_and_filled() -> None:
    line = {"event": "task_started", "at_s": 1.0, "task": "t", "worker": "w", "colour": "blue"}
    assert from_line(json.dumps(line)) == (1.0, TaskStarted("t", "w", 1, ""))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{}", "event: is missing"),
        ("[]", "is no JSON object"),
        ('{"event": "notice", "at_s": 1.0, "mess', "is no JSON object"),
        ('{"event": "from_the_future", "at_s": 1.0}', "knows no event 'from_the_future'"),
        ('{"event": "notice", "at_s": "soon", "message": "m"}', "at_s: 'soon'"),
        ('{"event": "task_started", "at_s": 1.0, "task": "t"}', "worker: is missing"),
    ],
)
def test_a_line_that_is_no_event_is_named(line: str, fault: str) -> None:
    with pytest.raises(Unreadable, match=fault):
        from_line(line)


def test_tags_are_unique_and_every_event_is_documented() -> None:
    assert all(kind.name == tag and kind.__doc__ for tag, kind in EVENT_TYPES.items())
    assert all(dataclasses.is_dataclass(kind) for kind in EVENT_TYPES.values())

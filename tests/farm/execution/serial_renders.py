"""Jobs rendered in this process on the fake engine, and what is read off their events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farm.api import render
from farm.events import (
    Event,
    FilmDelivered,
    JobFinished,
    TaskCommitted,
)


def spec(out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "j",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "frame_rate": 24.0},
        "upscale": {"steps": 4},
        "videos": [
            {
                "name": "v",
                "chunks": [
                    {"generate": {"prompt": "one", "num_frames": 33}},
                    {"extend": {"prompt": "two", "num_new_frames": 24}},
                    {"extend": {"prompt": "three", "num_new_frames": 24, "overlap_frames": 24}},
                    {"generate": {"prompt": "four", "num_frames": 17}},
                ],
            }
        ],
        "output": {"dir": str(out)},
        **changes,
    }


def run(job: dict[str, Any], runs: Path, **options: Any) -> list[Event]:
    return list(render(job, runs=str(runs), serial=True, **options))


def delivered(events: list[Event]) -> dict[str, str]:
    """SHA-256 of each film."""
    films = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    return {film.video: film.sha256 for film in films}


def committed(events: list[Event]) -> set[str]:
    return {event.task for event in events if isinstance(event, TaskCommitted)}


def last(events: list[Event]) -> JobFinished:
    assert isinstance(events[-1], JobFinished)
    return events[-1]

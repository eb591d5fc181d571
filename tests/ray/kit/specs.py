"""Jobs for the tests of this folder, and what is read off a finished one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.events import Event, FilmDelivered, JobFinished, to_record
from farm.execution.driver import RayOptions, render_on_ray
from farm.execution.serial import render_serial
from farm.session.opening import Scope
from farm.state.event_log import EventLog
from jobs.loading.load import LoadedSpec, load_spec
from jobs.store.store import Store

JOB = "harbor"


def chunks(count: int, prompt: str = "") -> list[dict[str, Any]]:
    """One shot of `count` chunks: 17 frames, then 16 more each with 16 overlapping.

    With `prompt` every chunk has one of its own, else they share one.
    """
    texts = [f"{prompt} {index}" if prompt else "a red boat" for index in range(count)]
    first = {"generate": {"prompt": texts[0], "num_frames": 17}}
    return [
        first,
        *({"extend": {"prompt": t, "num_new_frames": 16, "overlap_frames": 16}} for t in texts[1:]),
    ]


def document(out: Path, videos: int = 2, count: int = 4, **fake: Any) -> dict[str, Any]:
    """A job on the fake engine; `fake` are its settings."""
    return {
        "version": 1,
        "name": JOB,
        "engine": {"name": "fake", "fake": fake},
        "defaults": {"width": 64, "height": 64, "steps": 2, "seed": 5},
        "upscale": {"steps": 2, "denoise": 0.5},
        "videos": [{"name": f"take{i}", "chunks": chunks(count)} for i in range(videos)],
        "output": {"dir": str(out), "preset": "ultrafast"},
    }


COLOURS = ("red", "yellow", "green")
WAYS = ("right", "left", "up", "down")
"""The bundled model has a closed vocabulary."""


def tiny_document(out: Path, videos: int, count: int) -> dict[str, Any]:
    """A job on the bundled model, upscale refinement on; the chunks of a video share a prompt."""
    data = document(out, videos, count)
    del data["engine"]
    takes = [{"name": f"take{i}", "chunks": tiny_chunks([COLOURS[i]] * count)} for i in range(videos)]
    return {**data, "videos": takes, "run": {"threads": 1}}


def tiny_chunks(colours: Sequence[str], way: str = "right") -> list[dict[str, Any]]:
    """One chunk for each colour, as `chunks` lays them."""
    laid = zip(colours, chunks(len(colours)), strict=True)
    return [
        {verb: {**fields, "prompt": f"a {colour} ball moves {way} over a teal background"}}
        for colour, chunk in laid
        for verb, fields in chunk.items()
    ]


@dataclass
class Rendered:
    """A finished render: its events and films (SHA-256 by video)."""

    events: list[Event]
    films: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        last = self.events[-1]
        assert isinstance(last, JobFinished)
        return last.outcome

    @property
    def reason(self) -> str:
        """Why it ended so."""
        last = self.events[-1]
        assert isinstance(last, JobFinished)
        return str(last.state["reason"])

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def collected(events: Iterable[Event]) -> Rendered:
    listed = list(events)
    films = {e.video: e.sha256 for e in listed if isinstance(e, FilmDelivered) and not e.preview}
    return Rendered(listed, films)


def load(data: Mapping[str, Any] | LoadedSpec) -> LoadedSpec:
    """The loaded spec; of a mapping the media are not looked into."""
    return data if isinstance(data, LoadedSpec) else load_spec(data)


def render(folder: Path, data: Mapping[str, Any] | LoadedSpec, topology: str, **options: Any) -> Rendered:
    """Render on Ray with run directories in `folder`; the films go where the document says."""
    return collected(render_on_ray(load(data), Scope(str(folder)), RayOptions(topology, **options)))


def render_alone(folder: Path, data: Mapping[str, Any] | LoadedSpec) -> Rendered:
    """The serial reference."""
    return collected(render_serial(load(data), Scope(str(folder))))


def records(folder: Path | str) -> list[dict[str, Any]]:
    """The job's stored event log, as `farm logs --output json` prints it."""
    log = EventLog(Store.open(str(folder), JOB))
    return [to_record(logged.event, logged.at_s) for logged in log]

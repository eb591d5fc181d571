"""A small job that renders in a second, and directories to break."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from jobs.store.store import Store

JOB = "harbor"


def film_spec(out: Path, **more: Any) -> dict[str, Any]:
    """Two shots, an extend in each, and a second film: every kind of task and edge but upscale and guides."""
    generate = {"generate": {"prompt": "a", "num_frames": 17}}
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
    return {
        "version": 1,
        "name": JOB,
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 2, "seed": 7},
        "videos": [
            {"name": "dawn", "chunks": [generate, extend, extend, generate]},
            {"name": "noon", "chunks": [generate]},
        ],
        "output": {"dir": str(out), "preset": "ultrafast"},
        **more,
    }


@dataclass
class Rendered:
    """What one render did."""

    outcome: str
    computed: list[str] = field(default_factory=list)
    reused: int = 0
    films: dict[str, str] = field(default_factory=dict)
    reason: str = ""


@dataclass
class Workspace:
    """A place with a runs directory and an output directory."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def job_dir(self) -> Path:
        return self.runs / JOB

    @property
    def out(self) -> Path:
        return self.root / "out"

    def spec(self, **more: Any) -> dict[str, Any]:
        return film_spec(self.out, **more)

    def spec_of(self, runs: object) -> dict[str, Any]:
        """The same job with films of its own, for another runs directory: it replaces no others."""
        return film_spec(self.root / f"out of {str(runs).replace('/', ' ')}")

    def clear(self) -> None:
        """Start anew."""
        shutil.rmtree(self.root)
        self.root.mkdir()

    def store(self) -> Store:
        return Store.open(str(self.runs), JOB)

    def render(self, stop_after: int | None = None, **more: Any) -> Rendered:
        """Render to the end, or drop the driver after some commits as an interrupt would."""
        result = Rendered("interrupted")
        events = render(self.spec(**more), runs=str(self.runs), serial=True)
        for event in events:
            if isinstance(event, TaskCommitted):
                result.computed.append(event.task)
                if len(result.computed) == stop_after:
                    events.close()
                    break
            elif isinstance(event, JobFinished):
                result.outcome, result.reason = event.outcome, event.state["reason"]
                result.reused = event.state["tasks"]["reused"]
                result.films = {film["name"]: film["sha256"] for film in event.state["videos"]}
        return result

    def save(self, name: str) -> None:
        """Remember the workspace as it is now."""
        shutil.copytree(self.root, self.root.with_name(name))

    def restore(self, name: str) -> None:
        """Put the workspace back as it was."""
        shutil.rmtree(self.root)
        shutil.copytree(self.root.with_name(name), self.root)


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """In memory where the machine has such a place: these tests write much and prove nothing about disks."""
    memory = Path("/dev/shm")
    place = tempfile.mkdtemp(prefix="ltx-farm-", dir=memory if memory.is_dir() else None)
    (Path(place) / "work").mkdir()
    yield Workspace(Path(place) / "work")
    shutil.rmtree(place)


@pytest.fixture(scope="session", autouse=True)
def encoded(encode_once: None) -> None:
    """Of equal segments one is encoded."""


@pytest.fixture(autouse=True)
def joined(join_once: None) -> None:
    """Of equal films one is joined."""

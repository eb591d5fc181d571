"""SIGKILL for the driver, each kind of worker and a whole node, at every stage, in the middle and at its end.

Each cell ends with the films of the undisturbed render, computes nothing twice that was committed, and names
what was hit. Six cells run by default; the others are slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ray.head import Head
from tests.ray.kills import BOUNDARY, MID, STAGED, Cell, Job, strike, verify
from tests.ray.nodes import Nodes, three_nodes
from tests.ray.specs import chunks, document, render_alone

STAGES = ("encode", "sample", "upscale", "decode", "segment")
SECONDS = {"encode_s": 0.4, "sample_s": 0.5, "upscale_s": 0.4, "decode_s": 0.4}
HALVES = "sample=1@0.5,upscale=1@0.5,decode=1@0.5,segment=1"
"""Two nodes of three hold it, so one may die."""

CORE = [
    Cell("driver", "sample", MID),
    Cell("driver", "decode", BOUNDARY),
    Cell("worker", "sample", MID),
    Cell("worker", "segment", MID),
    Cell("worker", "decode", BOUNDARY),
    Cell("raylet", "upscale", MID, HALVES),
]
SPLIT = [
    Cell(victim, stage, moment, HALVES if victim == "raylet" else STAGED)
    for victim in ("driver", "worker", "raylet")
    for stage in STAGES
    for moment in (MID, BOUNDARY)
]
MONO = [
    Cell("worker", stage, moment, "mono=2,segment=1")
    for stage in ("sample", "upscale", "decode")
    for moment in (MID, BOUNDARY)
]
REST = [cell for cell in SPLIT + MONO if cell not in CORE]


def job_document(folder: Path, **fake: Any) -> dict[str, Any]:
    """Two short videos, a prompt for every chunk; frames large enough for a segment to be hit."""
    data = document(folder / "out", videos=2, count=3, **fake)
    videos = [{"name": f"take{i}", "chunks": chunks(3, f"boat {i}")} for i in range(2)]
    return {**data, "videos": videos, "defaults": {**data["defaults"], "width": 512, "height": 512}}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with three_nodes() as running:
        yield running


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", job_document(folder)).films


@pytest.fixture
def play(tmp_path: Path, reference: dict[str, str], request: pytest.FixtureRequest) -> Any:
    def run(cell: Cell) -> None:
        data = job_document(tmp_path, **SECONDS)
        if cell.victim == "raylet":
            running: Nodes = request.getfixturevalue("nodes")
            running.refill()
            job = Job(tmp_path, data, ("--address", running.address), running.env)
            hit = strike(cell, job, running)
        else:
            head: Head = request.getfixturevalue("head")
            job = Job(tmp_path, data, ("--address", head.gcs_address), {"RAY_AUTH_MODE": "disabled"})
            hit = strike(cell, job)
        verify(cell, job, hit, reference)

    return run


@pytest.mark.parametrize("cell", CORE, ids=str)
def test_core(play: Any, cell: Cell) -> None:
    play(cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", REST, ids=str)
def test_cell(play: Any, cell: Cell) -> None:
    play(cell)

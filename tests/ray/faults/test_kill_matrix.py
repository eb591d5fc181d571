"""SIGKILL for the driver, each kind of worker and a whole node, at every stage, in the middle and at its end.

Each cell ends with the films of the undisturbed render, computes nothing twice that was committed, and names
what was hit. The driver's cell runs by default, with the long tests two more, of which the worker's is on the
bundled model, whose results go from process to process; the others on that model are slow:
`tests/farm/execution/test_kills.py` has every stage on a cluster that is made up, `tests/durability` a driver
that is dropped after every commit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.ray.kit.kills import BOUNDARY, MID, STAGED, Cell, Job, strike, verify
from tests.ray.kit.specs import COLOURS, WAYS, document, render_alone, tiny_chunks, tiny_document

if TYPE_CHECKING:
    from tests.ray.kit.head import Head
    from tests.ray.kit.nodes import Nodes

STAGES = ("encode", "sample", "upscale", "decode", "segment")
HALVES = "sample=1@0.5,upscale=1@0.5,decode=1@0.5,segment=1"
"""Two nodes of three hold it, so one may die."""

ALONE = "mono=1,segment=1"
"""One process that loads models: what starts fastest."""

HANDED = "sample=1,upscale+decode=1,segment=1"

CORE = [
    Cell("driver", "sample", MID, ALONE),
    Cell("worker", "decode", BOUNDARY, HANDED),
    Cell("raylet", "upscale", MID, ALONE),
]
MORE = [
    Cell("driver", "sample", MID, ALONE),
    Cell("worker", "decode", BOUNDARY, ALONE),
    Cell("raylet", "upscale", MID, ALONE),
    Cell("driver", "decode", BOUNDARY, ALONE),
    Cell("worker", "sample", MID, ALONE),
    Cell("worker", "segment", MID, ALONE),
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
ALL = [*MORE, *SPLIT, *MONO]
FAKE = {"encode_s": 0.1, "sample_s": 0.6, "upscale_s": 0.6, "decode_s": 0.1}
"""Long enough to be hit in the middle, on a busy machine too."""


Lay = Callable[[Path, Path], dict[str, Any]]


def fake_document(folder: Path, pictures: Path) -> dict[str, Any]:
    """Two short videos on the fake engine. Every chunk has a prompt and a guide picture of its own."""
    data = document(folder / "out", videos=2, count=2, **FAKE)
    return {**data, "videos": [{"name": f"take{i}", "chunks": _chunks(i, pictures)} for i in range(2)]}


def bundled_document(folder: Path, pictures: Path) -> dict[str, Any]:
    """The same on the bundled model, with enough steps to be hit in one of them."""
    data = tiny_document(folder / "out", videos=2, count=2)
    defaults = {**data["defaults"], "steps": 24, "last_strength": 0.3}
    videos = fake_document(folder, pictures)["videos"]
    return {**data, "videos": videos, "defaults": defaults, "upscale": {"steps": 12, "denoise": 0.5}}


def short_document(folder: Path, pictures: Path) -> dict[str, Any]:
    """The same, as short as a film can be in which something is lost and something reused: for a moment that
    comes when a step is over."""
    data = bundled_document(folder, pictures)
    defaults, upscale = {**data["defaults"], "steps": 2}, {**data["upscale"], "steps": 2}
    return {**data, "defaults": defaults, "upscale": upscale, "videos": data["videos"][:1]}


def _chunks(video: int, pictures: Path) -> list[dict[str, Any]]:
    laid = tiny_chunks(COLOURS[:2], WAYS[video])
    for index, chunk in enumerate(laid):
        for fields in chunk.values():
            fields["last_image"] = str(pictures / f"{video}{index}.png")
    return laid


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture for each chunk, large enough that preparing it takes a moment."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(7)
    for video in range(2):
        for index in range(2):
            coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            coarse.resize((1600, 1600), Image.Resampling.BICUBIC).save(folder / f"{video}{index}.png")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Callable[[Lay], dict[str, str]]:
    """The films of a job that nothing is done to."""

    @cache
    def films(lay: Lay) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("serial")
        return render_alone(folder / "runs", lay(folder, pictures)).films

    return films


@pytest.fixture
def play(
    tmp_path: Path,
    pictures: Path,
    undisturbed: Callable[[Lay], dict[str, str]],
    request: pytest.FixtureRequest,
) -> Any:
    def run(cell: Cell, lay: Lay) -> None:
        data = lay(tmp_path, pictures)
        if cell.victim == "raylet":
            running: Nodes = request.getfixturevalue("nodes")
            job = Job(tmp_path, data, ("--address", running.address), running.env)
            hit = strike(cell, job, running)
        else:
            head: Head = request.getfixturevalue("head")
            job = Job(tmp_path, data, ("--address", head.gcs_address), {"RAY_AUTH_MODE": "disabled"})
            hit = strike(cell, job)
        tally = verify(cell, job, hit, undisturbed(lay))
        print(f"{cell}: hit {hit.task} (pid {hit.pid}); {tally}")

    return run


@pytest.mark.parametrize(
    "cell", [CORE[0], *(pytest.param(cell, marks=pytest.mark.long) for cell in CORE[1:])], ids=str
)
def test_core(play: Any, cell: Cell) -> None:
    play(cell, short_document if cell.victim == "worker" else fake_document)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ALL, ids=str)
def test_cell(play: Any, cell: Cell) -> None:
    play(cell, bundled_document)

"""The bundled model on every topology: the films' SHA-256 are those of the serial reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.session import Session
from tests.ray.specs import chunks, document, render, render_alone

TOPOLOGIES = (
    "mono=1",
    "mono=2",
    "sample=1,upscale=1,decode=1",
    "sample=2,upscale=1,decode=1",
    "sample=1,upscale+decode=1",
)

COLOURS = ("red", "yellow", "green")


def tiny(folder: Path, videos: int, count: int) -> dict[str, Any]:
    """A job on the default engine, upscale refinement on."""
    data = document(folder / "out", videos=videos, count=count)
    del data["engine"]
    takes = [{"name": f"take{i}", "chunks": _shot(count, COLOURS[i])} for i in range(videos)]
    return {**data, "videos": takes, "run": {"threads": 1}}


def _shot(count: int, colour: str) -> list[dict[str, Any]]:
    """The model has a closed vocabulary."""
    prompt = {"prompt": f"a {colour} ball moves right over a teal background"}
    return [{verb: {**fields, **prompt}} for chunk in chunks(count) for verb, fields in chunk.items()]


def test_one_topology(ray_session: Session, tmp_path: Path) -> None:
    alone = render_alone(tmp_path / "serial", tiny(tmp_path / "a", 1, 2))
    spread = render(tmp_path / "ray", tiny(tmp_path / "b", 1, 2), "sample=1,upscale+decode=1")
    assert spread.outcome == alone.outcome == "done"
    assert spread.films == alone.films != {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_topology(ray_session: Session, tmp_path: Path) -> None:
    """Three videos of six chunks."""
    films = {
        topology: render(tmp_path / topology, tiny(tmp_path / topology, 3, 6), topology).films
        for topology in TOPOLOGIES
    }
    alone = render_alone(tmp_path / "serial", tiny(tmp_path / "serial", 3, 6)).films
    assert len(alone) == 3
    assert films == dict.fromkeys(TOPOLOGIES, alone)

"""The bundled model on every topology: the films' SHA-256 are those of the serial reference.

`tests/ray/faults/test_kill_matrix.py` has it on one of them, with a worker that is killed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ray.kit.specs import render, render_alone, tiny_document

TOPOLOGIES = (
    "mono=1",
    "mono=2",
    "sample=1,upscale=1,decode=1",
    "sample=2,upscale=1,decode=1",
    "sample=1,upscale+decode=1",
)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("ray_session")
def test_every_topology(tmp_path: Path) -> None:
    """Three videos of six chunks."""
    films = {
        topology: render(tmp_path / topology, tiny_document(tmp_path / topology, 3, 6), topology).films
        for topology in TOPOLOGIES
    }
    alone = render_alone(tmp_path / "serial", tiny_document(tmp_path / "serial", 3, 6)).films
    assert len(alone) == 3
    assert films == dict.fromkeys(TOPOLOGIES, alone)

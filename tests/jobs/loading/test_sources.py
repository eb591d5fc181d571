"""Source material: latents read by their header, sizes and lengths checked."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.loading.sources import read_latent_fact
from jobs.planning.facts import LatentFact
from jobs.planning.plan import make_plan


def latent(path: Path, shape: tuple[int, ...], name: str = "latents") -> Path:
    save_file({name: np.zeros(shape, dtype=np.float32)}, path)
    return path


@pytest.mark.parametrize("name", ["latents", "latent_tensor", "samples"])
def test_a_latent_is_known_by_its_header(tmp_path: Path, name: str) -> None:
    path = latent(tmp_path / "a.safetensors", (1, 128, 5, 4, 6), name)
    assert read_latent_fact(path) == LatentFact(latents=5, channels=128, height=4, width=6)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x01", b"\xff" * 16, struct.pack("<Q", 4) + b"[]  ", struct.pack("<Q", 2) + b"{}", b"\0" * 64],
)
def test_what_is_no_latent_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"(is empty|no safetensors file|no tensor)"):
        read_latent_fact(path)


def load(folder: Path, source: dict[str, Any], **extend: Any) -> Any:
    video = {"name": "a", "source": source, "chunks": [{"extend": {"prompt": "p", **extend}}]}
    spec = {"name": "x", "defaults": {"width": 192, "height": 128}, "videos": [video]}
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    return load_spec(path)


def test_a_latent_opens_a_film(tmp_path: Path) -> None:
    latent(tmp_path / "a.safetensors", (1, 128, 5, 4, 6))
    loaded = load(tmp_path, {"latent": "a.safetensors"})
    assert make_plan(loaded.spec, loaded.facts).frames == 33 + 80


@pytest.mark.parametrize(
    ("shape", "extend", "place", "remedy"),
    [
        ((1, 128, 5, 8, 8), {}, "videos[0].source.latent", "width: 256 and height: 256"),
        ((1, 128, 1, 4, 6), {}, "videos[0].source.latent", "longer"),
        (
            (1, 128, 5, 4, 6),
            {"overlap_frames": 48},
            "videos[0].chunks[0].extend.overlap_frames",
            "40 or less",
        ),
        ((5, 4, 6), {}, "videos[0].source.latent", "another file"),
    ],
)
def test_a_latent_that_does_not_fit_is_named(
    tmp_path: Path, shape: tuple[int, ...], extend: dict[str, Any], place: str, remedy: str
) -> None:
    latent(tmp_path / "a.safetensors", shape)
    with pytest.raises(SpecError) as caught:
        load(tmp_path, {"latent": "a.safetensors"}, **extend)
    (problem,) = caught.value.problems
    assert problem.place == place
    assert remedy in problem.remedy

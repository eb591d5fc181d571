"""A whole spec, written to a file and loaded; changes of it, and what is wrong with them."""

from __future__ import annotations

import copy
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.errors import Problem, SpecError
from jobs.loading.load import LoadedSpec, load_spec
from jobs.planning.facts import Probes, VideoFact

SPEC: dict[str, Any] = {
    "version": 1,
    "name": "harbor",
    "engine": {"name": "comfyui", "checkpoint": "ltxv.safetensors", "upscale_model": "up.safetensors"},
    "defaults": {"width": 768, "height": 512, "frame_rate": 25.0, "steps": 20, "cfg": 3.0, "seed": 7},
    "upscale": {"steps": 10, "cfg": 3.0, "denoise": 0.5},
    "videos": [
        {
            "name": "dawn",
            "chunks": [
                {"generate": {"prompt": "a harbor", "num_frames": 97, "first_image": "dawn.png"}},
                {"extend": {"prompt": "fog", "num_new_frames": 80, "overlap_frames": 16, "repeat": 20}},
                {"generate": {"prompt": "noon"}},
            ],
            "sound": [{"file": "score.wav", "mode": "mux"}],
        },
        {"name": "more", "source": {"video": "shot.mp4"}, "chunks": [{"extend": {"prompt": "the boat"}}]},
    ],
    "matrix": {"seed": [7, 8, 9]},
    "output": {"dir": "out", "container": "mp4", "codec": "h264", "crf": 16},
    "run": {"topology": "auto", "max_attempts": 3, "threads": 2, "encode_threads": 1},
}


FIRST = "videos.0.chunks.0.generate"
NO_TENSORS = struct.pack("<Q", 2) + b"{}"
"""A whole safetensors file, with nothing in it."""


def load(folder: Path, spec: Any, *overrides: str, **options: Any) -> LoadedSpec:
    path = folder / "spec.yaml"
    path.write_text(
        spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False), encoding="utf-8"
    )
    options.setdefault("probes", Probes(lambda _: VideoFact(120, 640, 480, 25.0)))
    return load_spec(path, overrides, **options)


def require_refused(folder: Path, spec: Any, place: str, remedy: str) -> None:
    """There is one mistake, at that place, and its remedy has these words; clips have 40 frames."""
    probes = Probes(lambda _: VideoFact(40, 640, 480, 25.0))
    found = {problem.place: problem for problem in problems(folder, spec, probes=probes)}
    assert list(found) == [place]
    assert remedy in found[place].remedy


def problems(folder: Path, spec: Any, *overrides: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load(folder, spec, *overrides, **options)
    return caught.value.problems


def changed(place: str, value: Any) -> dict[str, Any]:
    """The spec with one value set at `a.0.b`, or removed where the value is `...`."""
    spec = copy.deepcopy(SPEC)
    here: Any = spec
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in path:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here[part]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return spec

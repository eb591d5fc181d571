"""What is refused around references: place, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.planning.facts import Probes, VideoFact
from tests.jobs.spec_files import load, problems
from tests.official.files import write_release, write_sparse
from tests.official.ltx2_files import write_single_file

FACE = {"image": "face.png"}
LORA = {"path": "owner/ic-lora"}
HERE = "videos[0].shots[0].references[0]"


def spec(*references: dict[str, Any], engine: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    shot: dict[str, Any] = {"name": "a", "seconds": 3.0, "prompt": "noon"}
    shot |= {"references": list(references)} if references else {}
    return {
        "version": 3,
        "name": "harbor",
        "engine": {"checkpoint": "owner/ltx-2", "text_encoder": "owner/gemma", "loras": [LORA]}
        | (engine or {}),
        "videos": [{"name": "dawn", "shots": [shot]}],
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("face.png", "pose.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


CASES: list[tuple[dict[str, Any], str, str]] = [
    (spec({}), HERE, "name one file"),
    (spec(FACE | {"video": "pose.mp4"}), HERE, "name one file"),
    (spec({"image": "none.png"}), f"{HERE}.image", "existing file"),
    (spec(FACE | {"strength": 1.5}), f"{HERE}.strength", "at most 1"),
    (spec(FACE, engine={"loras": []}), HERE, "add the IC-LoRA"),
    (spec(FACE, engine={"loras": [LORA | {"strength": {"upscale": 1.0}}]}), HERE, "add the IC-LoRA"),
    (spec(FACE, engine={"name": "comfyui"}), HERE, "engine.name: diffusers"),
    (spec(FACE | {"scale": 5}), f"{HERE}.scale", "multiples of 160"),
    (spec({"video": "pose.mp4"}), f"{HERE}.video", "an `image`"),
    (spec(matrix={"references": [[FACE]]}), "matrix.references", "in the shots"),
    (
        spec(defaults={"references": [FACE | {"scale": 3}]}, matrix={"height": [512, 384]}),
        "defaults.references[0].scale",
        "multiples of 96",
    ),
]


@pytest.mark.parametrize(("data", "place", "remedy"), CASES)
def test_refused(data: dict[str, Any], place: str, remedy: str, folder: Path) -> None:
    short = Probes(video=lambda _: VideoFact(8, 64, 64, 25.0))
    found = problems(folder, data, probes=short)
    assert [problem.place for problem in found] == [place]
    assert remedy in found[0].remedy


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_accepted(scale: int, folder: Path) -> None:
    long = Probes(video=lambda _: VideoFact(30, 64, 64, 25.0))
    load(folder, spec(FACE | {"scale": scale}, {"video": "pose.mp4", "scale": scale}), probes=long)


def ic_lora(folder: Path, scale: int) -> str:
    """A LoRA for one layer that both families have."""
    shapes = {"lora_A": (4, 4096), "lora_B": (4096, 4)}
    layer = "diffusion_model.transformer_blocks.0.attn1.to_q"
    path = folder / "ic.safetensors"
    tensors = {f"{layer}.{which}.weight": ("BF16", shape) for which, shape in shapes.items()}
    write_sparse(path, tensors, {"reference_downscale_factor": str(scale)})
    return str(path)


def test_the_scale_is_that_of_the_ic_lora(folder: Path) -> None:
    model = write_single_file(folder / "ltx-2.3.safetensors", "2.3")
    engine = {"checkpoint": str(model), "loras": [{"path": ic_lora(folder, 2)}]}
    (found,) = problems(folder, spec(FACE, engine=engine))
    assert (found.place, found.remedy) == (f"{HERE}.scale", "write `scale: 2`")
    right = spec(FACE | {"scale": 2}, engine=engine)
    load(folder, right)
    second = right | {"upscale": {}}
    second["engine"]["upscale_model"] = "owner/spatial"
    (found,) = problems(folder, second)
    assert (found.place, "{sample: 1.0}" in found.remedy) == ("engine.loras[0].strength", True)


def test_references_are_for_ltx_2(folder: Path) -> None:
    model = write_release(folder, "ltxv-2b-0.9.8-distilled.safetensors")
    (found,) = problems(folder, spec(FACE, engine={"checkpoint": str(model)}))
    assert (found.place, found.remedy) == (HERE, "name an LTX-2 checkpoint")

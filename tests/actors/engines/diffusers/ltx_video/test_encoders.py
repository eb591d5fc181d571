"""A text encoder is loaded whole, or refused: transformers would draw what is missing at random."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.engines.diffusers.ltx2.text import GemmaStates
from actors.engines.diffusers.ltx_video.text import T5Prompts
from benchmarks.gpu.text.encoders import ENCODERS
from benchmarks.gpu.text.files import write_encoder
from jobs.errors import SpecError

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")


def without(folder: Path, *parts: str) -> Path:
    """The encoder in `folder` without the tensors that have one of `parts` in their names."""
    from safetensors.torch import load_file, save_file

    (file,) = (folder / "text_encoder").glob("*.safetensors")
    kept = {name: each for name, each in load_file(file).items() if not any(part in name for part in parts)}
    file.unlink()
    (folder / "text_encoder" / "model.safetensors.index.json").unlink()
    save_file(kept, folder / "text_encoder" / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("size", "part", "missing"),
    [
        ("ltx2.3", "layers.1.mlp.up_proj", "language_model.layers.1.mlp.up_proj.weight is missing"),
        ("ltx2.5", "layers.0.", "and 11 more are missing"),
        (
            "2b",
            "block.1.layer.1.DenseReluDense.wo",
            "encoder.block.1.layer.1.DenseReluDense.wo.weight is missing",
        ),
    ],
)
def test_an_encoder_with_a_gap_is_refused(size: str, part: str, missing: str, tmp_path: Path) -> None:
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    kind = T5Prompts if size == "2b" else GemmaStates
    kind.load(tmp_path, torch.float32)
    with pytest.raises(SpecError, match=missing) as caught:
        kind.load(without(tmp_path, part), torch.float32)
    (problem,) = caught.value.problems
    assert (problem.place, problem.remedy) == ("engine.text_encoder", "download the folder again")


@pytest.mark.parametrize(("size", "kind"), [("ltx2.3", GemmaStates), ("2b", T5Prompts)])
def test_an_encoder_that_went_meanwhile_is_named(size: str, kind: Any, tmp_path: Path) -> None:
    """A worker loads it again when a prompt comes after it was dropped."""
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    kind.load(tmp_path, torch.float32)
    for file in (tmp_path / "text_encoder").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(SpecError, match="the weights of a text encoder") as caught:
        kind.load(tmp_path, torch.float32)
    shutil.rmtree(tmp_path)
    with pytest.raises(SpecError, match="put it back"):
        kind.load(tmp_path, torch.float32)
    (problem,) = caught.value.problems
    assert problem.place == "engine.text_encoder"


@pytest.mark.parametrize("size", ["ltx2.3", "ltx2.5"])
def test_what_prompts_do_not_meet_may_be_missing(size: str, tmp_path: Path) -> None:
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    made = GemmaStates.load(without(tmp_path, "vision", "multi_modal"), torch.float32)
    with torch.inference_mode():
        states, _ = made.states("a red ball")
    assert bool(states.isfinite().all())

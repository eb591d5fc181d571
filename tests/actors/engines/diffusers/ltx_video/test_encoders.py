"""A text encoder is loaded whole, or refused: transformers would draw what is missing at random."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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


def no_second_shard(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    whole = json.loads(index.read_text())
    whole["weight_map"][max(whole["weight_map"])] = "model-00002-of-00002.safetensors"
    index.write_text(json.dumps(whole))


def half_a_shard(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def half_an_index(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"metadata')


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def half_a_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def another_shape(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    (file,) = folder.glob("*.safetensors")
    held = load_file(file)
    name = min(name for name in held if name.endswith(("mlp.up_proj.weight", "SelfAttention.k.weight")))
    save_file({**held, name: held[name][:-1].contiguous()}, file, {"format": "pt"})


@pytest.mark.parametrize("size", ["ltx2.3", "2b"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_second_shard, "model-00002-of-00002.safetensors"),
        (half_a_shard, "incomplete metadata"),
        (half_an_index, "line 1"),
        (no_config, "config.json is missing"),
        (half_a_config, "config.json"),
        (another_shape, "weight is of another shape than its config says"),
    ],
)
def test_an_encoder_that_was_not_downloaded_whole_is_refused(
    size: str, damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    damage(tmp_path / "text_encoder")
    with pytest.raises(SpecError) as caught:
        (T5Prompts if size == "2b" else GemmaStates).load(tmp_path, torch.float32)
    (problem,) = caught.value.problems
    assert (problem.place, problem.value) == ("engine.text_encoder", str(tmp_path / "text_encoder"))
    assert (said in problem.rule, problem.remedy) == (True, "download the folder again")


@pytest.mark.parametrize("size", ["ltx2.3", "ltx2.5"])
def test_what_prompts_do_not_meet_may_be_missing(size: str, tmp_path: Path) -> None:
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    made = GemmaStates.load(without(tmp_path, "vision", "multi_modal"), torch.float32)
    with torch.inference_mode():
        states, _ = made.states("a red ball")
    assert bool(states.isfinite().all())

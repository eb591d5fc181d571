"""What of the files reaches the bytes of temporal rounds, and of nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from actors.engines.diffusers.files import find_files
from jobs.spec.engine import EngineConfig
from tests.official.upsamplers import write_temporal


def upscale(small_ltx2: Path, **more: Any) -> dict[str, Any]:
    config = EngineConfig.model_validate({"checkpoint": str(small_ltx2), **more})
    return find_files(config).digests()["upscale"]


def apart(whole: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != "rounds"}


def test_a_named_upsampler_in_time_concerns_canvases_alone(small_ltx2: Path, tmp_path: Path) -> None:
    plain = upscale(small_ltx2)
    named = upscale(small_ltx2, temporal_upscale_model=str(write_temporal(tmp_path / "t.safetensors")))
    assert "rounds" not in plain
    assert apart(named) == plain
    assert named["rounds"]["tile"] == {"transformer": plain["transformer"], "loras": []}


def test_weights_of_rounds_concern_tiles_alone(small_ltx2: Path, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "lora.safetensors")

    def with_weight(rounds: float) -> dict[str, Any]:
        strength = {"upscale": 0.5, "rounds": rounds}
        return upscale(small_ltx2, loras=[{"path": str(tmp_path / "lora.safetensors"), "strength": strength}])

    one, other = with_weight(0.5), with_weight(0.25)
    assert apart(one) == apart(other)
    assert one["rounds"]["canvas"] == other["rounds"]["canvas"]
    assert one["rounds"]["tile"] != other["rounds"]["tile"]


def test_an_upsampler_in_time_beside_a_model_in_parts_counts(small_ltx2: Path, tmp_path: Path) -> None:
    """The checkpoint is not the transformer's file then."""
    with safe_open(small_ltx2, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["temporal_upsampler.initial_conv.weight"] *= 1.5
    other = tmp_path / "other.safetensors"
    save_file(tensors, other, metadata)
    parts = {"diffusion_model": str(small_ltx2), "vae": str(small_ltx2), "upscale_model": str(small_ltx2)}
    here, there = (upscale(path, **parts) for path in (small_ltx2, other))
    assert here["rounds"]["canvas"] != there["rounds"]["canvas"]
    assert apart(here) == apart(there)

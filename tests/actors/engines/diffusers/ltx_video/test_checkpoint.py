"""Original single-file layout -> diffusers modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ltx_vae_checkpoint_to_diffusers
from safetensors.torch import save_file

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.ltx_video.architecture import build_vae
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_vae
from actors.engines.diffusers.ltx_video.names import original_vae_state, vae_state

CONV = [
    ["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3], ["compress_all", 1], ["res_x_y", 1],
    ["res_x", 3], ["compress_all", 1], ["res_x", 3], ["res_x", 4],
]  # fmt: skip
NOISY: list[list[Any]] = [
    ["res_x", {"num_layers": 5, "inject_noise": True}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 6, "inject_noise": True}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 7, "inject_noise": True}],
    ["compress_all", {"residual": True, "multiplier": 2}],
    ["res_x", {"num_layers": 8, "inject_noise": False}],
]
RESIDUAL = [
    ["res_x", {"num_layers": 4}],
    ["compress_space_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_time_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 6}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
    ["compress_all_res", {"multiplier": 2}],
    ["res_x", {"num_layers": 2}],
]
PLAIN = [[name, {**p, "inject_noise": False}] if name == "res_x" else [name, p] for name, p in NOISY]
LAYOUTS: dict[str, dict[str, Any]] = {
    "0.9.0": {"blocks": CONV},
    "0.9.1": {"encoder_blocks": CONV, "decoder_blocks": NOISY, "timestep_conditioning": True},
    "0.9.5": {"encoder_blocks": RESIDUAL, "decoder_blocks": PLAIN, "timestep_conditioning": True},
}


def small(layout: str) -> dict[str, Any]:
    return {**LAYOUTS[layout], "encoder_base_channels": 4, "decoder_base_channels": 4}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vae_keys_survive_the_round_trip(layout: str) -> None:
    state = build_vae(small(layout)).state_dict()
    original = original_vae_state(state, small(layout))
    assert original.keys() != state.keys()
    assert vae_state(original, small(layout)).keys() == state.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vae_keys_are_those_of_the_published_files(layout: str) -> None:
    """Diffusers' own conversion, written for the published files, must land on the same keys."""
    state = build_vae(small(layout)).state_dict()
    published = {f"vae.{key}": value for key, value in original_vae_state(state, small(layout)).items()}
    if layout == "0.9.5":
        published["vae.encoder.conv_out.conv.weight"] = torch.zeros(1, 2048, 1, 1, 1)
    assert convert_ltx_vae_checkpoint_to_diffusers(published).keys() == state.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_statistics_of_published_files_are_sorted_out(layout: str) -> None:
    """The name of one that is not used ends with the name of one that is."""
    state = build_vae(small(layout)).state_dict()
    published = original_vae_state(state, small(layout))
    for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means"):
        published[f"per_channel_statistics.{name}"] = torch.zeros(128)
    assert vae_state(published, small(layout)).keys() == state.keys()


def test_every_tensor_and_the_dtype_come_from_the_file(small_ltx_video: Path) -> None:
    checkpoint = Checkpoint.open(small_ltx_video)
    for module in (load_transformer(checkpoint, torch.float32), load_vae(checkpoint, torch.float32)):
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())
        assert not module.training
    assert {"transformer", "vae", "text_encoder", "latent_upsampler"} <= {
        name for name in checkpoint.configs if checkpoint.has(name)
    }


def test_another_model_is_refused(tmp_path: Path) -> None:
    save_file({"model.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UnsupportedCheckpoint, match="no LTX-Video transformer"):
        load_transformer(Checkpoint.open(tmp_path / "other.safetensors"))


def test_unknown_blocks_are_refused() -> None:
    config = {**small("0.9.5"), "decoder_blocks": [["mystery", {}], ["res_x", {"num_layers": 1}]]}
    with pytest.raises(UnsupportedCheckpoint, match="mystery"):
        vae_state({}, config)


def test_a_vae_that_pads_otherwise_is_for_the_other_engine() -> None:
    with pytest.raises(UnsupportedCheckpoint, match=r"reflect.*comfyui engine"):
        build_vae(small("0.9.5") | {"spatial_padding_mode": "reflect"})

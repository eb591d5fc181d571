"""LoRA files of every usual key format change the same weights by the same amount."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from actors.engines.diffusers import lora
from actors.engines.diffusers.architecture import build_transformer
from jobs.errors import SpecError

SIZES = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 12, "cross_attention_dim": 24}
CONFIG = {"in_channels": 8, "caption_channels": 8, **SIZES}
RANK = 4

FORMATS = {
    "diffusers": ("transformer.transformer_blocks.1.attn1.to_q", ".lora_A.weight", ".lora_B.weight"),
    "peft": (
        "base_model.model.transformer_blocks.1.attn1.to_q",
        ".lora_A.default.weight",
        ".lora_B.default.weight",
    ),
    "comfyui": ("diffusion_model.transformer_blocks.1.attn1.to_q", ".lora_A.weight", ".lora_B.weight"),
    "kohya": ("lora_unet_transformer_blocks_1_attn1_to_q", ".lora_down.weight", ".lora_up.weight"),
}


@pytest.fixture
def factors() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(RANK, 24), torch.randn(24, RANK)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name: str, tmp_path: Path, factors: tuple[torch.Tensor, torch.Tensor]) -> None:
    transformer = build_transformer(CONFIG)
    layer = transformer.transformer_blocks[1].attn1.to_q
    before = layer.weight.detach().clone()
    key, down, up = FORMATS[name]
    save_file({key + down: factors[0], key + up: factors[1]}, tmp_path / "style.safetensors")
    assert lora.merge(transformer, tmp_path / "style.safetensors", 0.5) == 1
    torch.testing.assert_close(layer.weight, before + 0.5 * factors[1] @ factors[0])


def test_alpha_scales(tmp_path: Path, factors: tuple[torch.Tensor, torch.Tensor]) -> None:
    key, down, up = FORMATS["kohya"]
    tensors = {key + down: factors[0], key + up: factors[1], key + ".alpha": torch.tensor(2.0)}
    save_file(tensors, tmp_path / "style.safetensors")
    deltas, leftover = lora.read(tmp_path / "style.safetensors")
    (delta,) = deltas.values()
    torch.testing.assert_close(delta.weight(1.0), 2.0 / RANK * factors[1] @ factors[0])
    assert leftover == []


def test_original_names_are_understood(tmp_path: Path) -> None:
    transformer = build_transformer(CONFIG)
    key = "diffusion_model.patchify_proj"
    tensors = {f"{key}.lora_A.weight": torch.ones(1, 8), f"{key}.lora_B.weight": torch.ones(24, 1)}
    save_file(tensors, tmp_path / "style.safetensors")
    before = transformer.proj_in.weight.detach().clone()
    lora.merge(transformer, tmp_path / "style.safetensors", 1.0)
    torch.testing.assert_close(transformer.proj_in.weight, before + 1.0)


def test_a_lora_for_another_model_is_refused(tmp_path: Path) -> None:
    transformer = build_transformer(CONFIG)
    save_file({"unet.down.lora_A.weight": torch.ones(1, 8)}, tmp_path / "other.safetensors")
    with pytest.raises(SpecError, match="none of its keys"):
        lora.merge(transformer, tmp_path / "other.safetensors", 1.0)
    key = "transformer.proj_in"
    wide = {f"{key}.lora_A.weight": torch.ones(1, 9), f"{key}.lora_B.weight": torch.ones(24, 1)}
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(SpecError, match="proj_in"):
        lora.merge(transformer, tmp_path / "wide.safetensors", 1.0)

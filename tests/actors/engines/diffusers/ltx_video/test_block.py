"""Fewer kernels, the same numbers: against diffusers as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx_video import attention, block
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer

if TYPE_CHECKING:
    from pathlib import Path

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 5e-2}


@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_the_installed_transformer_computes_what_diffusers_does(
    dtype: torch.dtype, small_ltx_video: Path
) -> None:
    stock, ours = (load_transformer(Checkpoint.open(small_ltx_video), dtype) for _ in range(2))
    attention.install(ours)
    generator = torch.Generator().manual_seed(3)
    tokens, words = 3 * 2 * 4, 6
    grid = torch.arange(tokens, dtype=torch.float32)
    inputs = {
        "hidden_states": torch.randn(2, tokens, 128, generator=generator).to(dtype),
        "encoder_hidden_states": torch.randn(2, words, stock.config.caption_channels, generator=generator).to(
            dtype
        ),
        "timestep": torch.tensor([500.0, 900.0]),
        "encoder_attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]),
        "video_coords": torch.stack([grid / 25, grid % 64, grid % 32])[None].expand(2, -1, -1),
        "return_dict": False,
    }
    with torch.inference_mode():
        wanted, found = stock(**inputs)[0].float(), ours(**inputs)[0].float()
    assert wanted.abs().max() > 0.1
    assert (wanted - found).abs().max() < TOLERANCE[dtype] * wanted.abs().max()


def test_norms_with_weights_stay(small_ltx_video: Path) -> None:
    model = load_transformer(Checkpoint.open(small_ltx_video), torch.float32)
    first = model.transformer_blocks[0]
    weighted = torch.nn.RMSNorm(first.norm1.dim, eps=1e-6)
    first.norm1 = weighted
    block.install(model)
    assert first.norm1 is weighted
    assert isinstance(first.norm2, torch.nn.RMSNorm)

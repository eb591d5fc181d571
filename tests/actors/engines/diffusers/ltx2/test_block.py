"""The farm's blocks against diffusers' own: on a CPU bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx2 import block, components
from tests.official.ltx2_files import write_narrow

if TYPE_CHECKING:
    from pathlib import Path

TOKENS, SOUND, WORDS = 24, 9, 6
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "perturbed": {"spatio_temporal_guidance_blocks": [0]},
    "apart": {"isolate_modalities": True},
}


@pytest.mark.parametrize("version", ["2.0", "2.3", "2.5"])
def test_blocks_compute_what_diffusers_does(version: str, tmp_path: Path) -> None:
    path = write_narrow(tmp_path / "narrow.safetensors", version)
    stock, ours = (components.transformer_component(Checkpoint.open(path)).load(torch.float32) for _ in "ab")
    block.install(ours)
    for way, more in WAYS.items():
        inputs = _inputs(stock.config) | more
        with torch.inference_mode():
            wanted, found = stock(**inputs), ours(**inputs)
        for their, own, what in zip(wanted, found, ("picture", "sound"), strict=True):
            assert their.abs().max() > 0.01
            assert torch.equal(their, own), (way, what, float((their - own).abs().max()))


def _inputs(config: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    starts = torch.arange(TOKENS, dtype=torch.float32)
    places = torch.stack([starts // 8 / 24, starts % 4 * 32, starts // 4 % 2 * 32])
    heard = torch.arange(SOUND, dtype=torch.float32)[None] / 25
    width = config.caption_channels if config.use_prompt_embeddings else config.cross_attention_dim
    sound_width = (
        config.caption_channels if config.use_prompt_embeddings else config.audio_cross_attention_dim
    )
    mask = torch.ones(1, WORDS)
    mask[:, -2:] = 0
    return {
        "hidden_states": drawn(1, TOKENS, config.in_channels),
        "audio_hidden_states": drawn(1, SOUND, config.audio_in_channels),
        "encoder_hidden_states": drawn(1, WORDS, width),
        "audio_encoder_hidden_states": drawn(1, WORDS, sound_width),
        "encoder_attention_mask": mask,
        "audio_encoder_attention_mask": mask,
        "timestep": torch.linspace(0, 700, TOKENS)[None],
        "audio_timestep": torch.tensor([[700.0]]),
        "sigma": torch.tensor([700.0]),
        "audio_sigma": torch.tensor([700.0]),
        "video_coords": torch.stack([places, places + 32], dim=-1)[None],
        "audio_coords": torch.stack([heard, heard + 0.04], dim=-1)[None],
        "use_cross_timestep": True,
        "return_dict": False,
    }

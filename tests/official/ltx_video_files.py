"""A very small LTX-Video file in the original single-file layout, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from actors.engines.diffusers.ltx_video.architecture import build_transformer, build_upsampler, build_vae
from actors.engines.diffusers.ltx_video.names import original_transformer_state, original_vae_state
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import PAD, START

CONFIG: dict[str, Any] = {
    "transformer": {
        "in_channels": 128,
        "num_layers": 2,
        "num_attention_heads": 2,
        "attention_head_dim": 24,
        "cross_attention_dim": 48,
        "caption_channels": 16,
        "causal_temporal_positioning": True,
    },
    "vae": {
        "dims": 3,
        "in_channels": 3,
        "out_channels": 3,
        "norm_layer": "pixel_norm",
        "latent_log_var": "uniform",
        "spatial_padding_mode": "zeros",
        "latent_channels": 128,
        "encoder_base_channels": 8,
        "decoder_base_channels": 8,
        "encoder_blocks": [
            ["res_x", {"num_layers": 1}],
            ["compress_space_res", {"multiplier": 2}],
            ["res_x", {"num_layers": 1}],
            ["compress_time_res", {"multiplier": 1}],
            ["res_x", {"num_layers": 1}],
            ["compress_all_res", {"multiplier": 2}],
            ["res_x", {"num_layers": 1}],
            ["compress_all_res", {"multiplier": 1}],
            ["res_x", {"num_layers": 1}],
        ],
        "decoder_blocks": [
            ["res_x", {"num_layers": 1}],
            ["compress_all", {"residual": True, "multiplier": 2}],
            ["res_x", {"num_layers": 1}],
            ["compress_all", {"residual": True, "multiplier": 1}],
            ["res_x", {"num_layers": 1}],
            ["compress_all", {"residual": True, "multiplier": 2}],
            ["res_x", {"num_layers": 1}],
        ],
        "patch_size": 4,
        "causal_decoder": False,
        "timestep_conditioning": False,
    },
    "latent_upsampler": {"in_channels": 128, "mid_channels": 32, "num_blocks_per_stage": 1, "dims": 2},
    "text_encoder": {
        "dim": 16,
        "layers": 1,
        "heads": 2,
        "max_tokens": 8,
        "words": [PAD, START, "a", "red", "blue", "ball", "bounces"],
        "dropped": ["blurry"],
    },
}


def _random(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gates and tables that fresh modules leave at zero would hide mistakes."""
    return {
        name: torch.randn_like(tensor) * 0.1 if tensor.is_floating_point() and tensor.ndim < 2 else tensor
        for name, tensor in state.items()
    }


def write_small(path: Path, config: dict[str, Any] = CONFIG, seed: int = 0) -> Path:
    """Random weights for `config`, with a text encoder over a few words and an upsampler: all that a film
    needs."""
    torch.manual_seed(seed)
    vae = _random(build_vae(config["vae"]).state_dict())
    vae["latents_mean"], vae["latents_std"] = torch.randn(128) * 0.2, torch.rand(128) + 0.5
    parts = {
        "model.diffusion_model.": original_transformer_state(
            _random(build_transformer(config["transformer"]).state_dict())
        ),
        "vae.": original_vae_state(vae, config["vae"]),
        "latent_upsampler.": build_upsampler(config["latent_upsampler"]).state_dict(),
        "text_encoder.": TinyTextEncoder.from_config(config["text_encoder"]).state_dict(),
    }
    tensors = {
        prefix + name: tensor.detach().clone().contiguous()
        for prefix, state in parts.items()
        for name, tensor in state.items()
    }
    save_file(tensors, path, metadata={"config": json.dumps(config)})
    return path

"""Writes the trained modules as one safetensors file in the original single-file layout."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from actors.engines.diffusers.names import original_transformer_state, original_vae_state
from tools.train_tiny.modules import TRANSFORMER_CONFIG, UPSAMPLER_CONFIG, VAE_CONFIG, text_config

States = dict[str, dict[str, torch.Tensor]]
"""Diffusers state dicts by component: `vae`, `transformer`, `latent_upsampler`, `text_encoder`."""


def export(states: States, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write `states` to `path` in `dtype`; the metadata describes every component."""
    tensors: dict[str, torch.Tensor] = {}
    _add(tensors, "model.diffusion_model.", original_transformer_state(states["transformer"]))
    _add(tensors, "vae.", original_vae_state(states["vae"], VAE_CONFIG))
    _add(tensors, "latent_upsampler.", states["latent_upsampler"])
    _add(tensors, "text_encoder.", states["text_encoder"])
    config = {
        "transformer": TRANSFORMER_CONFIG,
        "vae": VAE_CONFIG,
        "latent_upsampler": UPSAMPLER_CONFIG,
        "text_encoder": text_config(),
    }
    stored = {name: tensor.to(dtype).contiguous().cpu().clone() for name, tensor in sorted(tensors.items())}
    save_file(
        stored, path, metadata={"config": json.dumps(config, sort_keys=True), "model_version": "tiny-ltx"}
    )


def _add(tensors: dict[str, torch.Tensor], prefix: str, state: dict[str, torch.Tensor]) -> None:
    tensors.update({prefix + key: tensor for key, tensor in state.items()})

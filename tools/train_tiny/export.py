"""The trained modules as one safetensors file in the original single-file layout, and back."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_upsampler, load_vae
from actors.engines.diffusers.ltx_video.names import original_transformer_state, original_vae_state
from tools.train_tiny.modules import TRANSFORMER_CONFIG, UPSAMPLER_CONFIG, VAE_CONFIG, text_config
from tools.train_tiny.training import save

STATE_FILES = ("vae.pt", "dit.pt", "upsampler.pt")
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


def unpack(path: Path, folder: Path) -> None:
    """The state files of the stages from an exported file. Raises FileExistsError: training is dear."""
    if there := [name for name in STATE_FILES if (folder / name).exists()]:
        raise FileExistsError(f"{folder} holds {', '.join(there)} already; name an empty folder")
    checkpoint = Checkpoint.open(path)
    text = {key: tensor.float() for key, tensor in checkpoint.state("text_encoder.").items()}
    transformer = load_transformer(checkpoint, torch.float32).state_dict()
    save(folder / "vae.pt", {"vae": load_vae(checkpoint, torch.float32).state_dict()})
    save(folder / "dit.pt", {"transformer": transformer, "text_encoder": text})
    upsampler = load_upsampler(checkpoint, torch.float32).state_dict()
    save(folder / "upsampler.pt", {"latent_upsampler": upsampler})


def _add(tensors: dict[str, torch.Tensor], prefix: str, state: dict[str, torch.Tensor]) -> None:
    tensors.update({prefix + key: tensor for key, tensor in state.items()})

"""Files in the published layout with random weights, made and named by Lightricks' own modules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from ltx_video.models.autoencoders.causal_video_autoencoder import CausalVideoAutoencoder
from ltx_video.models.autoencoders.latent_upsampler import LatentUpsampler
from ltx_video.models.transformers.transformer3d import Transformer3DModel
from published import UPSAMPLER, Config, Published
from safetensors.torch import save_file
from torch import Tensor, nn

STATISTICS = ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
"""What published files keep of the latents' statistics beside the two that normalise them."""


def write_file(model: Published, path: Path, metadata: bool = True) -> Path:
    """One single file of `model`, float32; without `metadata` its configuration has to be guessed."""
    generator = torch.Generator().manual_seed(7)
    parts = {
        "model.diffusion_model.": Transformer3DModel.from_config(copy.deepcopy(model.transformer)),
        "vae.": CausalVideoAutoencoder.from_config(copy.deepcopy(model.vae)),
    }
    tensors = {
        prefix + name: tensor
        for prefix, module in parts.items()
        for name, tensor in drawn(module, generator).items()
    }
    channels = model.vae["latent_channels"]
    tensors["vae.per_channel_statistics.mean-of-means"] = 0.3 * _normal((channels,), generator)
    tensors["vae.per_channel_statistics.std-of-means"] = 0.7 + 0.5 * torch.rand(channels, generator=generator)
    for name in STATISTICS:
        tensors[f"vae.per_channel_statistics.{name}"] = torch.rand(channels, generator=generator)
    _save(tensors, path, model.config if metadata else None)
    return path


def write_upsampler(path: Path) -> Path:
    """A spatial latent upsampler, 64 wide and one block a stage."""
    config = {**UPSAMPLER, "mid_channels": 64, "num_blocks_per_stage": 1}
    generator = torch.Generator().manual_seed(8)
    _save(drawn(LatentUpsampler.from_config(copy.deepcopy(config)), generator), path, config)
    return path


def drawn(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Its state with random weights, scaled so that activations keep their size. Gates and tables, which
    fresh modules leave at zero or one, are drawn too: they would hide mistakes."""
    return {name: _drawn(name, tensor, generator) for name, tensor in module.state_dict().items()}


def _drawn(name: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    if name.endswith("timestep_scale_multiplier"):
        return tensor.clone()
    noise = _normal(tensor.shape, generator)
    if tensor.ndim > 1:
        return noise * tensor[0].numel() ** -0.5
    return (1.0 if "norm" in name and name.endswith("weight") else 0.0) + 0.05 * noise


def _normal(shape: Any, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _save(tensors: dict[str, Tensor], path: Path, config: Config | None) -> None:
    ready = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(ready, path, metadata={"config": json.dumps(config)} if config else None)

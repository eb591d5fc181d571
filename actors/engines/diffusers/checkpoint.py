"""Original Lightricks single-file checkpoints -> diffusers modules, without network.

Such a file holds `model.diffusion_model.*` and `vae.*` and, in its metadata, a JSON `config` with the entries
`transformer` and `vae`. The bundled tiny model adds `text_encoder.*` and `latent_upsampler.*` with entries of
the same names. What diffusers needs is derived from that config; files from before it (0.9.0) are told by
their tensor shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from actors.engines.diffusers.architecture import (
    Config,
    State,
    UnsupportedCheckpoint,
    build_transformer,
    build_upsampler,
    build_vae,
    transformer_config_of,
    upsampler_config_of,
    vae_config_of,
)
from actors.engines.diffusers.names import TRANSFORMER_NAMES, rename, vae_state

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel


_TRANSFORMER = "model.diffusion_model."
_VAE = "vae."


@dataclass(frozen=True)
class Checkpoint:
    """An open single-file checkpoint: its path and the configs in its metadata (empty where it has none)."""

    path: Path
    configs: Config

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the header of `path`. Raises `UnsupportedCheckpoint` where it is not an LTX-Video file."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            keys = set(file.keys())
        if f"{_TRANSFORMER}patchify_proj.weight" not in keys:
            raise UnsupportedCheckpoint(
                f"{path.name} holds no LTX-Video transformer; name an LTX-Video single-file checkpoint"
            )
        if f"{_TRANSFORMER}audio_adaln_single.linear.weight" in keys:
            raise UnsupportedCheckpoint(
                f"{path.name} is an LTX-2 audio-video checkpoint; use `engine.name: comfyui` for it"
            )
        return cls(path, json.loads(metadata.get("config", "{}")))

    def state(self, prefix: str) -> State:
        """The tensors whose names start with `prefix`, without it."""
        with safe_open(self.path, framework="pt") as file:
            return {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118

    def has(self, component: str) -> bool:
        """Whether the metadata describes `component` (`transformer`, `vae`, `text_encoder`,
        `latent_upsampler`).
        """
        return component in self.configs


def load_transformer(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXVideoTransformer3DModel:
    """The transformer with the file's weights, in `dtype` (default: as stored)."""
    state = rename(checkpoint.state(_TRANSFORMER), TRANSFORMER_NAMES)
    config = checkpoint.configs.get("transformer") or transformer_config_of(state)
    return _filled(lambda: build_transformer(config), state, dtype)


def load_vae(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> AutoencoderKLLTXVideo:
    """The video VAE with the file's weights, in `dtype` (default: as stored)."""
    original = checkpoint.state(_VAE)
    config = checkpoint.configs.get("vae") or vae_config_of(original)
    return _filled(lambda: build_vae(config), vae_state(original, config), dtype)


def load_upsampler(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """The latent upsampler that the bundled model carries."""
    return _filled(
        lambda: build_upsampler(checkpoint.configs["latent_upsampler"]),
        checkpoint.state("latent_upsampler."),
        dtype,
    )


def load_upsampler_file(path: Path, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """A latent upsampler that has a file of its own, its config in the metadata or told by its shapes."""
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads((file.metadata() or {}).get("config", "null"))
    return _filled(lambda: build_upsampler(config or upsampler_config_of(state)), state, dtype)


def _filled(build: Callable[[], Any], state: State, dtype: torch.dtype | None) -> Any:
    """The module in eval mode with `state`, loaded strictly.

    It is built without memory of its own: drawing fresh weights for a model of 13 billion parameters in
    float32, only to replace them, takes minutes and 50 GiB. Weights are copied, so that they are aligned as
    torch aligns and not as the file happens to be: kernels sum in an order that depends on it.
    """
    with torch.device("meta"):
        module = build()
    own = {name: tensor.to(dtype or tensor.dtype, copy=True) for name, tensor in state.items()}
    module.load_state_dict(own, strict=True, assign=True)
    return module.eval().requires_grad_(False)

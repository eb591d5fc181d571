"""LTX-Video's parts in model files.

An original Lightricks file holds `model.diffusion_model.*` and `vae.*` and, in its metadata, a JSON `config`
with the entries `transformer` and `vae`; parts come in files of their own, with or without these prefixes.
The bundled tiny model adds `text_encoder.*` and `latent_upsampler.*` with entries of the same names. A folder
of diffusers holds one component as `config.json` and one file or several shards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.ltx_video.architecture import build_transformer, build_upsampler, build_vae
from actors.engines.diffusers.ltx_video.inferred import (
    transformer_config_of,
    upsampler_config_of,
    vae_config_of,
)
from actors.engines.diffusers.ltx_video.names import TRANSFORMER_NAMES, rename, vae_state
from jobs.weights.describe import transformer_prefix, vae_prefix
from jobs.weights.header import Tensor, component_config

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

UPSAMPLER_PREFIX = "latent_upsampler."


def transformer_component(checkpoint: Checkpoint) -> Component:
    """The transformer of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "transformer")
    prefix = transformer_prefix(checkpoint.weights)
    if prefix is None:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no LTX-Video transformer")
    stored = rename(_keys(checkpoint, prefix), TRANSFORMER_NAMES)
    config = checkpoint.configs.get("transformer") or transformer_config_of(_shapes(checkpoint, stored))
    return Component(checkpoint, "transformer", lambda: build_transformer(config), stored)


def vae_component(checkpoint: Checkpoint) -> Component:
    """The video VAE of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "vae")
    prefix = vae_prefix(checkpoint.weights)
    if prefix is None:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no LTX-Video VAE")
    keys = _keys(checkpoint, prefix)
    config = checkpoint.configs.get("vae") or vae_config_of(_shapes(checkpoint, keys))
    return Component(checkpoint, "vae", lambda: build_vae(config), vae_state(keys, config))


def upsampler_component(checkpoint: Checkpoint) -> Component:
    """The latent upsampler that has a file or folder of its own, or that the bundled model carries."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "latent_upsampler")
    inside = checkpoint.has("latent_upsampler")
    stored = _keys(checkpoint, UPSAMPLER_PREFIX if inside else "")
    if "upsampler.0.weight" not in stored or "initial_conv.weight" not in stored:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no latent upsampler of 2x")
    config = checkpoint.configs.get("latent_upsampler") if inside else checkpoint.configs
    shapes = _shapes(checkpoint, stored)
    return Component(
        checkpoint, "latent_upsampler", lambda: build_upsampler(config or upsampler_config_of(shapes)), stored
    )


def load_transformer(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXVideoTransformer3DModel:
    """The transformer with the file's weights, in `dtype` (default: as stored)."""
    return transformer_component(checkpoint).load(dtype)


def load_vae(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> AutoencoderKLLTXVideo:
    """The video VAE with the file's weights, in `dtype` (default: as stored)."""
    return vae_component(checkpoint).load(dtype)


def load_upsampler(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """The latent upsampler with the file's weights, in `dtype` (default: as stored)."""
    return upsampler_component(checkpoint).load(dtype)


def _keys(checkpoint: Checkpoint, prefix: str) -> dict[str, str]:
    """What the file calls the tensors below `prefix`, by their names without it."""
    return {name[len(prefix) :]: name for name in checkpoint.weights.tensors if name.startswith(prefix)}


def _shapes(checkpoint: Checkpoint, stored: Mapping[str, str]) -> dict[str, Tensor]:
    return {name: checkpoint.weights.tensors[key] for name, key in stored.items()}


def _of_folder(checkpoint: Checkpoint, component: str) -> Component:
    """A component as diffusers saves it: `config.json` names the class and its arguments."""
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    kinds = {
        "transformer": LTXVideoTransformer3DModel,
        "vae": AutoencoderKLLTXVideo,
        "latent_upsampler": LTXLatentUpsamplerModel,
    }
    kind, config = kinds[component], component_config(checkpoint.path)
    if config.get("_class_name") != kind.__name__:
        found = config.get("_class_name", "no config.json")
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds {found}, not {kind.__name__}")
    if "quantization_config" in config:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} is quantised: use the bfloat16 or fp8 file")
    stored = {name: name for name in checkpoint.weights.tensors}
    return Component(checkpoint, component, lambda: kind.from_config(config), stored)

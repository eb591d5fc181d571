"""The trained modules as one safetensors file with the names of published LTX-2.3 files, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file

from actors.engines.diffusers.ltx_video.names import original_vae_state, rename, vae_state
from tools.train_tiny.modules import (
    AUDIO_VAE_CONFIG,
    TEMPORAL_UPSAMPLER_CONFIG,
    TRANSFORMER_CONFIG,
    UPSAMPLER_CONFIG,
    VAE_CONFIG,
    VOCODER_CONFIG,
    text_config,
)
from tools.train_tiny.training import State, save, stored

Pairs = tuple[tuple[str, str], ...]

_TRANSFORMER: Pairs = (
    ("av_ca_video_scale_shift_adaln_single", "av_cross_attn_video_scale_shift"),
    ("av_ca_a2v_gate_adaln_single", "av_cross_attn_video_a2v_gate"),
    ("av_ca_audio_scale_shift_adaln_single", "av_cross_attn_audio_scale_shift"),
    ("av_ca_v2a_gate_adaln_single", "av_cross_attn_audio_v2a_gate"),
    ("scale_shift_table_a2v_ca_video", "video_a2v_cross_attn_scale_shift_table"),
    ("scale_shift_table_a2v_ca_audio", "audio_a2v_cross_attn_scale_shift_table"),
    ("prompt_adaln_single", "prompt_adaln"),
    ("adaln_single", "time_embed"),
    ("patchify_proj", "proj_in"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)
_STATISTICS: Pairs = (
    ("per_channel_statistics.mean-of-means", "latents_mean"),
    ("per_channel_statistics.std-of-means", "latents_std"),
)
_VOCODER: Pairs = (
    ("ups.", "upsamplers."),
    ("resblocks.", "resnets."),
    ("conv_pre.", "conv_in."),
    ("conv_post.", "conv_out."),
)
_CONNECTORS: Pairs = (
    ("video_aggregate_embed", "video_text_proj_in"),
    ("audio_aggregate_embed", "audio_text_proj_in"),
)


@dataclass(frozen=True)
class Part:
    """One component: where the file keeps it, and its names there and in diffusers."""

    prefix: str
    to_diffusers: Callable[[State], State]
    to_file: Callable[[State], State]


def _renamed(prefix: str, pairs: Pairs = ()) -> Part:
    back = tuple((new, old) for old, new in reversed(pairs))
    return Part(prefix, lambda state: rename(state, pairs), lambda state: rename(state, back))


PARTS: dict[str, Part] = {
    "transformer": _renamed("model.diffusion_model.", _TRANSFORMER),
    "vae": Part(
        "vae.",
        lambda state: vae_state(state, VAE_CONFIG),
        lambda state: original_vae_state(state, VAE_CONFIG),
    ),
    "audio_vae": _renamed("audio_vae.", _STATISTICS),
    "vocoder": _renamed("vocoder.", _VOCODER),
    "latent_upsampler": _renamed("latent_upsampler."),
    "temporal_upsampler": _renamed("temporal_upsampler."),
    "text_encoder": _renamed("text_encoder."),
    "connectors": _renamed("text_embedding_projection.", _CONNECTORS),
}
CONFIG: dict[str, Any] = {
    "transformer": TRANSFORMER_CONFIG,
    "vae": VAE_CONFIG,
    "audio_vae": AUDIO_VAE_CONFIG,
    "vocoder": VOCODER_CONFIG,
    "latent_upsampler": UPSAMPLER_CONFIG,
    "temporal_upsampler": TEMPORAL_UPSAMPLER_CONFIG,
}
"""The metadata's entries, beside `text_encoder`'s."""


def export(folder: Path, path: Path) -> None:
    """Write the components of `folder` to `path` in float16; the metadata describes every one."""
    tensors: State = {}
    for name, part in PARTS.items():
        state = part.to_file(stored(folder, name))
        tensors.update({part.prefix + key: tensor.half().contiguous() for key, tensor in state.items()})
    config = {**CONFIG, "text_encoder": text_config()}
    metadata = {"config": json.dumps(config, sort_keys=True), "model_version": "2.3.tiny"}
    save_file(dict(sorted(tensors.items())), path, metadata=metadata)


def unpack(path: Path, folder: Path) -> None:
    """The components of an exported file. Raises FileExistsError: training is dear."""
    if there := [name for name in PARTS if (folder / f"{name}.safetensors").exists()]:
        raise FileExistsError(f"{folder} holds {', '.join(there)} already; name an empty folder")
    save(folder, unpacked(path))


def unpacked(path: Path) -> dict[str, State]:
    """Diffusers states by component."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        states = {}
        for component, part in PARTS.items():
            own = [name for name in names if name.startswith(part.prefix)]
            if own:
                original = {name.removeprefix(part.prefix): file.get_tensor(name) for name in own}
                states[component] = part.to_diffusers(original)
    return states

"""LTX-2 model files -> diffusers modules: what each part is called in a file, and how it is built.

A published single file (2.0, 2.3) holds `model.diffusion_model.*` with the connectors inside,
`text_embedding_projection.*`, `vae.*`, `audio_vae.*` and `vocoder.*`, and in its metadata a JSON `config`
with the entries `transformer`, `vae`, `audio_vae` and `vocoder`. Parts come as files of their own, with or
without these prefixes; folders of diffusers hold one component each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import Config, UnsupportedCheckpoint
from actors.engines.diffusers.ltx2.models import (
    Arguments,
    Shapes,
    connector_arguments,
    transformer_arguments,
    upsampler_arguments,
)
from actors.engines.diffusers.ltx2.names import (
    CONNECTOR_KEYS,
    CONNECTORS,
    LATENTS,
    PROJECTION_KEYS,
    TRANSFORMER,
    UNUSED_STATISTICS,
    VOCODER,
    by_new_name,
    vae_names,
)
from actors.engines.diffusers.ltx2.sound.models import (
    audio_vae_arguments,
    vocoder_arguments,
    wide_vocoder_arguments,
)
from actors.engines.diffusers.ltx2.vae_model import vae_arguments
from jobs.weights.describe import transformer_prefix, vae_prefix
from jobs.weights.header import component_config
from jobs.weights.numbers import is_note

AUDIO_VAE_PREFIXES = ("audio_vae.", "autoencoder.", "")
VOCODER_PREFIXES = ("vocoder.", "")
UPSAMPLERS = {"latent_upsampler": "in space", "temporal_latent_upsampler": "in time"}
"""The latent upsamplers, as a diffusers folder calls them."""
INSIDE = {"latent_upsampler": "latent_upsampler.", "temporal_latent_upsampler": "temporal_upsampler."}
"""Where a small model carries them in its file."""


def transformer_component(checkpoint: Checkpoint) -> Component:
    """The transformer of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "transformer", "LTX2VideoTransformer3DModel")
    prefix = transformer_prefix(checkpoint.weights)
    if prefix is None:
        raise _absent(checkpoint, "transformer")
    own = _without(_below(checkpoint, prefix), CONNECTOR_KEYS + PROJECTION_KEYS)
    stored = _stored(prefix, by_new_name(own, TRANSFORMER))
    arguments = transformer_arguments(_shapes(checkpoint, stored), checkpoint.configs.get("transformer", {}))
    return _component(checkpoint, "transformer", lambda: _transformer(arguments), stored)


def connectors_component(checkpoint: Checkpoint) -> Component:
    """What turns the states of a text encoder into the context of the transformer: projections and
    connectors."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "connectors", "LTX2TextConnectors")
    stored = {
        new: key
        for key in checkpoint.weights.tensors
        for place in (*CONNECTOR_KEYS, *PROJECTION_KEYS)
        if (at := key.find(place)) in _starts(key, place)
        for new in by_new_name([key[at:]], CONNECTORS)
    }
    if not any(name.endswith("text_proj_in.weight") for name in stored):
        raise _absent(checkpoint, "text projection")
    arguments = connector_arguments(_shapes(checkpoint, stored), checkpoint.configs.get("transformer", {}))
    return _component(checkpoint, "text projection", lambda: _connectors(arguments), stored)


def _starts(key: str, place: str) -> set[int]:
    """Where a part's name may start in a key: at its start, or behind the transformer's prefix."""
    return {0, *(len(p) for p in ("model.diffusion_model.", "diffusion_model.") if key.startswith(p + place))}


def vae_component(checkpoint: Checkpoint) -> Component:
    """The video VAE with convolutions of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "vae", "AutoencoderKLLTX2Video")
    prefix = vae_prefix(checkpoint.weights)
    if prefix is None:
        raise _absent(checkpoint, "video VAE")
    own = _below(checkpoint, prefix)
    arguments = vae_arguments(
        {name: checkpoint.weights.tensors[prefix + name] for name in own}, checkpoint.configs.get("vae", {})
    )
    return _component(checkpoint, "vae", lambda: _vae(arguments), _stored(prefix, vae_names(own)))


def audio_vae_component(checkpoint: Checkpoint) -> Component:
    """The audio VAE of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "audio_vae", "AutoencoderKLLTX2Audio")
    prefix = _first_prefix(checkpoint, AUDIO_VAE_PREFIXES, "encoder.conv_in.conv.weight")
    if prefix is None:
        raise _absent(checkpoint, "audio VAE")
    own = [name for name in _below(checkpoint, prefix) if _of_audio_vae(name)]
    stored = _stored(prefix, {LATENTS.get(name, name): name for name in own})
    shapes = _shapes(checkpoint, stored)
    arguments = audio_vae_arguments(shapes, checkpoint.configs.get("audio_vae", {}))
    return _component(checkpoint, "audio VAE", lambda: _audio_vae(arguments, shapes), stored)


def _of_audio_vae(name: str) -> bool:
    parts = ("encoder.", "decoder.", "per_channel_statistics.")
    return name.startswith(parts) and name not in UNUSED_STATISTICS


def vocoder_component(checkpoint: Checkpoint) -> Component:
    """The vocoder that lies beside an audio VAE: 2.0's, or that of 2.3 and later."""
    if checkpoint.path.is_dir():
        wide = component_config(checkpoint.path).get("_class_name") == "LTX2VocoderWithBWE"
        return _of_folder(checkpoint, "vocoder", "LTX2VocoderWithBWE" if wide else "LTX2Vocoder")
    found = [
        (prefix, inner)
        for prefix in VOCODER_PREFIXES
        for inner in ("vocoder.", "")
        if f"{prefix}{inner}conv_pre.weight" in checkpoint.weights.tensors
    ]
    if not found:
        raise _absent(checkpoint, "vocoder")
    prefix, inner = found[0]
    own = _below(checkpoint, prefix)
    stored = _stored(prefix, by_new_name(own, VOCODER))
    build = _wide_vocoder if inner else _vocoder
    shapes, config = _shapes(checkpoint, stored), checkpoint.configs.get("vocoder", {})
    return _component(checkpoint, "vocoder", lambda: build(shapes, config), stored)


def _component(
    checkpoint: Checkpoint, what: str, build: Callable[[], Any], stored: Mapping[str, str]
) -> Component:
    return Component(checkpoint, what, build, stored, "LTX-2")


def upsampler_component(checkpoint: Checkpoint, what: str = "latent_upsampler") -> Component:
    """The latent upsampler, one of `UPSAMPLERS`, that has a file or folder of its own, or that a small model
    carries."""
    if checkpoint.path.is_dir():
        _require_way(checkpoint, component_config(checkpoint.path), what)
        return _of_folder(checkpoint, what, "LTX2LatentUpsamplerModel")
    prefix = _first_prefix(checkpoint, (INSIDE[what], ""), "initial_conv.weight")
    if prefix is None:
        raise _absent(checkpoint, f"upsampler {UPSAMPLERS[what]}")
    own = _below(checkpoint, prefix)
    stored = _stored(prefix, {name: name for name in own})
    arguments = upsampler_arguments(_shapes(checkpoint, stored))
    _require_way(checkpoint, arguments, what)
    return _component(checkpoint, "latent upsampler", lambda: _upsampler(arguments), stored)


def temporal_upsampler_component(checkpoint: Checkpoint) -> Component:
    """The one in time, which makes 2 T - 1 latents of T."""
    return upsampler_component(checkpoint, "temporal_latent_upsampler")


def _require_way(checkpoint: Checkpoint, arguments: Mapping[str, Any], what: str) -> None:
    """One that upsamples both ways at once fits neither use. The config of a folder may leave out what is the
    module's own."""
    ways = arguments.get("spatial_upsample", True), arguments.get("temporal_upsample", False)
    wanted = (False, True) if what == "temporal_latent_upsampler" else (True, False)
    if ways != wanted:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} does not upsample {UPSAMPLERS[what]} alone")


def _first_prefix(checkpoint: Checkpoint, prefixes: Iterable[str], name: str) -> str | None:
    return next((prefix for prefix in prefixes if prefix + name in checkpoint.weights.tensors), None)


def _below(checkpoint: Checkpoint, prefix: str) -> list[str]:
    return [name[len(prefix) :] for name in checkpoint.weights.tensors if name.startswith(prefix)]


def _without(names: list[str], starts: tuple[str, ...]) -> list[str]:
    return [name for name in names if not name.startswith(starts)]


def _stored(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    return {new: prefix + name for new, name in names.items()}


def _shapes(checkpoint: Checkpoint, stored: Mapping[str, str]) -> Shapes:
    return {name: checkpoint.weights.tensors[key] for name, key in stored.items() if not is_note(key)}


def _absent(checkpoint: Checkpoint, what: str) -> UnsupportedCheckpoint:
    return UnsupportedCheckpoint(f"{checkpoint.path.name} holds no LTX-2 {what}")


def _transformer(arguments: Arguments) -> Any:
    from diffusers import LTX2VideoTransformer3DModel

    return LTX2VideoTransformer3DModel(**arguments)


def _connectors(arguments: Arguments) -> Any:
    from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors

    return LTX2TextConnectors(**arguments)


def _vae(arguments: Arguments) -> Any:
    from diffusers import AutoencoderKLLTX2Video

    return AutoencoderKLLTX2Video(**arguments)


def _upsampler(arguments: Arguments) -> Any:
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

    return LTX2LatentUpsamplerModel(**arguments)


def _audio_vae(arguments: Arguments, shapes: Shapes) -> Any:
    """diffusers counts the statistics by the width of the first layer, which is 128 in published files; there
    is one for each channel and bin of a latent."""
    from diffusers import AutoencoderKLLTX2Audio

    vae = AutoencoderKLLTX2Audio(**arguments)
    for name in LATENTS.values():
        if name in shapes:
            vae.register_buffer(name, torch.empty(shapes[name].shape), persistent=True)
    return vae


def _vocoder(shapes: Shapes, config: Config) -> Any:
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    return LTX2Vocoder(**vocoder_arguments(shapes, config))


def _wide_vocoder(shapes: Shapes, config: Config) -> Any:
    from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE, UpSample1d

    arguments = wide_vocoder_arguments(shapes, config)
    vocoder = LTX2VocoderWithBWE(**arguments)
    # Its filter is computed and in no file: it has to be there where everything else is still empty.
    with torch.device("cpu"):
        ratio = arguments["output_sampling_rate"] // arguments["input_sampling_rate"]
        vocoder.resampler = UpSample1d(ratio=ratio, window_type="hann", persistent=False)
    return vocoder


def _of_folder(checkpoint: Checkpoint, what: str, name: str) -> Component:
    """A component as diffusers saves it: `config.json` names the class and its arguments."""
    config = component_config(checkpoint.path)
    if config.get("_class_name") != name:
        found = config.get("_class_name", "no config.json")
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds {found}, not {name}")
    if "quantization_config" in config:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} is quantised: use the bfloat16 or fp8 file")
    stored = {key: key for key in checkpoint.weights.tensors}
    return _component(checkpoint, what, lambda: _class(name).from_config(config), stored)


def _class(name: str) -> Any:
    """The package of the pipeline hides its parts where there is no transformers; their modules do not."""
    import diffusers
    from diffusers.pipelines.ltx2 import connectors, latent_upsampler, vocoder

    found = (getattr(module, name, None) for module in (connectors, latent_upsampler, vocoder, diffusers))
    return next(each for each in found if each is not None)

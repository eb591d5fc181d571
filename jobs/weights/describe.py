"""What a model file is: its parts, family, version, size and number types, from its header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jobs.weights.header import Tensor, Weights, read_weights
from jobs.weights.lora_keys import is_lora
from jobs.weights.numbers import number_types

Part = Literal["transformer", "vae", "text_encoder", "latent_upsampler", "audio_vae", "lora"]
Family = Literal["ltx-video", "ltx-2", ""]
Variant = Literal["dev", "distilled", ""]

TRANSFORMER_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
VAE_PREFIXES = ("vae.", "")
TRANSFORMER_KEYS = ("patchify_proj.weight", "proj_in.weight")
"""The first layer as the original files and as diffusers name it."""
BLOCK_KEY = "transformer_blocks.0.attn1.to_q.weight"
AUDIO_KEYS = ("audio_adaln_single.linear.weight", "audio_time_embed.linear.weight")
PIXEL_DECODER_KEY = "decoder.conv_in_x_t.weight"
UPSAMPLER_KEY = "initial_conv.weight"
OTHER_PARTS: Mapping[str, Part] = {
    "text_encoder.": "text_encoder",
    "latent_upsampler.": "latent_upsampler",
    "audio_vae.": "audio_vae",
}
LARGE_WIDTH = 4096
"""Inner width of the 13B model; the 2B model has 2048."""
VERSION = re.compile(r"(?<![\d.])(0\.9(?:\.\d)?|2\.\d)(?![\d])")


@dataclass(frozen=True)
class Description:
    """`version` is `0.9.0` to `0.9.8` or `2.0` and later; where neither metadata nor name say it, the first
    one with this layout; empty where that is unknown. `numbers` are the number types of the transformer, or
    of the whole file where it has none.
    """

    parts: frozenset[Part]
    family: Family
    version: str
    size: Literal["2b", "13b", ""]
    variant: Variant
    numbers: str

    @property
    def distilled(self) -> bool:
        return self.variant == "distilled"


def describe(path: Path) -> Description:
    """What the file or diffusers folder at `path` is. Raises OSError, or WeightsFault for a damaged one."""
    return describe_weights(read_weights(path), path.name)


def describe_weights(weights: Weights, name: str = "") -> Description:
    """As `describe`, of a header that was read; `name` is that of the file."""
    transformer = _below(weights, transformer_prefix(weights))
    vae = _below(weights, vae_prefix(weights))
    family = _family(weights, transformer, vae)
    return Description(
        parts=frozenset(_parts(weights, bool(transformer), bool(vae))),
        family=family,
        version=_version(weights, name, family, transformer, vae),
        size=_size(family, transformer),
        variant=_variant(weights, name, bool(transformer)),
        numbers=number_types(weights, transformer or weights.tensors),
    )


def transformer_prefix(weights: Weights) -> str | None:
    """What the names of the transformer's tensors start with; None where there is none."""
    names = weights.tensors
    for prefix in TRANSFORMER_PREFIXES:
        if prefix + BLOCK_KEY in names and any(prefix + key in names for key in TRANSFORMER_KEYS):
            return prefix
    return None


def vae_prefix(weights: Weights) -> str | None:
    """What the names of the video VAE's tensors start with; None where there is none."""
    for prefix in VAE_PREFIXES:
        decoders = (f"{prefix}{key}" for key in ("decoder.conv_in.conv.weight", PIXEL_DECODER_KEY))
        encoder = f"{prefix}encoder.conv_in.conv.weight" in weights.tensors
        if encoder and any(key in weights.tensors for key in decoders):
            return prefix
    return None


def has_pixel_decoder(weights: Weights) -> bool:
    """Whether they hold the decoder of LTX-2.5's second video VAE, which denoises pixels."""
    return any(prefix + PIXEL_DECODER_KEY in weights.tensors for prefix in VAE_PREFIXES)


def vae_version(vae: Mapping[str, Tensor]) -> str:
    """The first version whose VAE is built like this one: `0.9.0`, `0.9.1` or `0.9.5`; empty for one in
    diffusers' layout, whose folder has a config."""
    if "decoder.up_blocks.0.res_blocks.0.conv1.conv.weight" not in vae:
        return ""
    if "encoder.down_blocks.1.conv.conv.weight" in vae:
        return "0.9.5"
    return "0.9.1" if any("time_embedder" in name for name in vae) else "0.9.0"


def _below(weights: Weights, prefix: str | None) -> dict[str, Tensor]:
    return {} if prefix is None else weights.below(prefix)


def _parts(weights: Weights, transformer: bool, vae: bool) -> Iterator[Part]:
    if transformer:
        yield "transformer"
    if vae:
        yield "vae"
    for prefix, part in OTHER_PARTS.items():
        if any(name.startswith(prefix) for name in weights.tensors):
            yield part
    if UPSAMPLER_KEY in weights.tensors:
        yield "latent_upsampler"
    if is_lora(weights.tensors):
        yield "lora"


def _family(weights: Weights, transformer: Mapping[str, Tensor], vae: Mapping[str, Tensor]) -> Family:
    sound = any(name.startswith(("audio_vae.", "vocoder.")) for name in weights.tensors)
    if sound or PIXEL_DECODER_KEY in vae or any(name in transformer for name in AUDIO_KEYS):
        return "ltx-2"
    if re.match("[2-9]", weights.metadata.get("model_version", "")):
        return "ltx-2"
    return "ltx-video" if transformer or vae else ""


def _version(
    weights: Weights, name: str, family: Family, transformer: Mapping[str, Tensor], vae: Mapping[str, Tensor]
) -> str:
    """What metadata or name say, where the layout allows it; else the first version of the layout."""
    first = _first_version(family, transformer, vae)
    said = VERSION.search(weights.metadata.get("model_version", "")) or VERSION.search(name)
    if said is None or not family:
        return first
    version = said[1] if said[1].count(".") == 2 or family == "ltx-2" else f"{said[1]}.0"
    fits = version.startswith("2.") == (family == "ltx-2") and version >= first
    return version if fits else first


def _first_version(family: Family, transformer: Mapping[str, Tensor], vae: Mapping[str, Tensor]) -> str:
    if family == "ltx-2":
        if PIXEL_DECODER_KEY in vae or any("keyframes_abs_pos_embedding" in name for name in transformer):
            return "2.5"
        return "2.3" if any("to_gate_logits" in name for name in transformer) else "2.0" * bool(transformer)
    return "0.9.7" if _size(family, transformer) == "13b" else vae_version(vae)


def _size(family: Family, transformer: Mapping[str, Tensor]) -> Literal["2b", "13b", ""]:
    if family != "ltx-video" or not transformer:
        return ""
    return "13b" if transformer[BLOCK_KEY].shape[:1] >= (LARGE_WIDTH,) else "2b"


def _variant(weights: Weights, name: str, transformer: bool) -> Variant:
    """Distilled files list the only noise levels that they know; the others are known by their name."""
    if not transformer:
        return ""
    listed = weights.config.get("allowed_inference_steps") or ()
    return "distilled" if listed or "distilled" in name.lower() else "dev"

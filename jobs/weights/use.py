"""Whether a model file is what a field of the spec takes it for, and the engine reads it: from its header."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from jobs.weights.describe import (
    Description,
    describe_weights,
    has_pixel_decoder,
    transformer_prefix,
    vae_prefix,
    vae_version,
)
from jobs.weights.header import GGUF, Tensor, Weights, WeightsFault, component_config, read_weights
from jobs.weights.lora_keys import CORE_ENDINGS, fit
from jobs.weights.numbers import is_note, unread_by_diffusers

TEXT_ENCODER, TRANSFORMER = "text encoder", "transformer"
"""The models that may be larger than their device: where one is streamed, its blocks stay in host memory and
come over one by one."""
TEMPORAL_UPSAMPLER = "temporal_upscale_model"
PARTS = {
    "checkpoint": "transformer",
    "diffusion_model": "transformer",
    "vae": "vae",
    "upscale_model": "latent_upsampler",
    TEMPORAL_UPSAMPLER: "temporal_latent_upsampler",
}
"""The part that each field of the engine section names."""
FIELDS = {
    "transformer": ("an LTX transformer", "name it as `engine.checkpoint` or `engine.diffusion_model`"),
    "lora": ("a LoRA", "list it under `engine.loras`"),
    "vae": ("a video VAE", "name it as `engine.vae`"),
    "latent_upsampler": ("a latent upsampler", "name it as `engine.upscale_model`"),
    "audio_vae": ("an audio VAE", "name it as `engine.audio_vae`"),
}
UPSAMPLER_PREFIX = "latent_upsampler."
"""In the bundled model's file."""
TEMPORAL_PREFIX = "temporal_upsampler."
"""Likewise."""
KEYFRAMES_KEY = "keyframes_abs_pos_embedding"
"""Of a transformer that marks stills which it makes itself."""
RATIONAL_SCALES = {4: 2.0, 9: 1.5}
"""Of upsamplers that shrink again what they have spread, by how many values they make of one."""
DECODER_ALONE = "LTX2VideoDiffusionDecoderModel"
AGAIN = "download or copy it again"
NO_ENCODER = "a diffusion decoder as diffusers saves it, with the repository's `vae` folder beside it"
CORE_REMEDY = "write `engine.name: comfyui`, whose core merges LoRAs of this kind"
LORA_REMEDY = "name a LoRA that was trained for this model, or leave it out"
OTHER_FILE = "use the bfloat16, fp8 or GGUF file of this model, or write `engine.name: comfyui`"


class Misuse(NamedTuple):
    """What is wrong with a file, and what to do instead."""

    rule: str
    remedy: str


def misuse(path: Path, field: str, engine: str) -> Misuse | None:
    """Why the file or folder at `path` cannot be `engine.<field>`; None where its header shows nothing."""
    part = PARTS[field]
    if engine == "comfyui" and path.is_dir():
        remedy = "give the single file, or write `engine.name: diffusers`"
        return Misuse("ComfyUI's core reads files, not folders of diffusers", remedy)
    if engine == "comfyui" and path.suffix.lower() == GGUF:
        remedy = "give the .safetensors file, or write `engine.name: diffusers`"
        return Misuse("ComfyUI's core does not read GGUF files", remedy)
    try:
        weights = read_weights(folder_of(path, part))
    except OSError as error:
        return Misuse(f"a readable file ({error.strerror or error})", "restore the file or its permissions")
    except WeightsFault as fault:
        return Misuse(str(fault), AGAIN)
    return _misuse(weights, path, part, engine)


def _misuse(weights: Weights, path: Path, part: str, engine: str) -> Misuse | None:
    if part == PARTS[TEMPORAL_UPSAMPLER]:
        return _misuse_in_time(weights, path)
    found = describe_weights(weights, path.name)
    if part == "vae" and is_decoder_alone(path):
        return None if encoder_beside(path) else Misuse(NO_ENCODER, "keep the repository's folders together")
    if part not in found.parts:
        return _something_else(found, path, part, engine)
    if part == "latent_upsampler":
        scale = spatial_scale(weights)
        if scale is None:
            return Misuse(
                f"`upscale` makes frames larger; {path.name} does something else", "name a spatial upscaler"
            )
        if engine == "comfyui" and scale != 2:
            rule = f"{path.name} makes frames {scale:g} times as large, and this engine's second pass 2 times"
            return Misuse(rule, "name the upscaler of 2x, or write `engine.name: diffusers`")
    if found.numbers == "q8":
        rule = "weights for Lightricks' Q8 kernels, which are rotated, are read by no engine here"
        return Misuse(rule, "use the bfloat16 or fp8 file of this model")
    if engine != "diffusers":
        return None
    if part == "vae" and path.is_file() and not _original_vae(weights):
        return Misuse("a VAE as diffusers saves it comes with its config.json", "name the folder of both")
    quantised = unread_by_diffusers(weights, weights.tensors)
    if quantised:
        return Misuse(f"the diffusers engine does not read {quantised} weights", OTHER_FILE)
    return None


def _misuse_in_time(weights: Weights, path: Path) -> Misuse | None:
    """Of an upsampler in time, which spreads each value out to two."""
    remedy = "name the temporal upscaler of 2x"
    upsampler = weights.below("" if "initial_conv.weight" in weights.tensors else TEMPORAL_PREFIX)
    if "initial_conv.weight" not in upsampler:
        return Misuse(f"{path.name} holds no latent upsampler in time", remedy)
    width, spread = upsampler["initial_conv.weight"].shape[0], upsampler.get("upsampler.0.weight")
    if spread is None or spread.shape[0] != 2 * width:
        return Misuse(f"temporal rounds make more frames; {path.name} does something else", remedy)
    return None


def makes_keyframes(weights: Weights) -> bool:
    """Whether a transformer marks stills that it makes itself, as LTX-2.5's does."""
    return any(name.endswith(KEYFRAMES_KEY) for name in weights.tensors)


def trained_scale(path: Path) -> int | None:
    """What an IC-LoRA says of its references: how many times smaller than the film; None of another file."""
    try:
        said = read_weights(path).metadata.get("reference_downscale_factor")
        return int(float(said)) if said is not None else None
    except (OSError, ValueError, WeightsFault):
        return None


def holds_temporal_upsampler(path: Path) -> bool:
    """Whether a model's file has an upsampler in time inside. That of a folder has to be named: a digest
    has files by their fields."""
    return path.is_file() and any(name.startswith(TEMPORAL_PREFIX) for name in read_weights(path).tensors)


def _something_else(found: Description, path: Path, part: str, engine: str) -> Misuse | None:
    """A file without the part that it is named for. ComfyUI's core may know models that this does not."""
    wanted = FIELDS[part][0]
    for other, (what, remedy) in FIELDS.items():
        if other in found.parts:
            return Misuse(f"{path.name} holds {what}, not {wanted}", remedy)
    if engine == "comfyui":
        return None
    return Misuse(f"{path.name} holds no LTX-Video {part.replace('_', ' ')}", "name a file that does")


def spatial_scale(weights: Weights) -> float | None:
    """How many times as wide and high an upsampler makes latents, by the layer that spreads the values out;
    None for one that does something else."""
    prefix = "" if "initial_conv.weight" in weights.tensors else UPSAMPLER_PREFIX
    upsampler = weights.below(prefix)
    width = upsampler["initial_conv.weight"].shape[0]
    plain, rational = (upsampler.get(f"upsampler.{name}.weight") for name in ("0", "conv"))
    if plain is not None:
        return 2.0 if plain.shape[0] == 4 * width else None
    return RATIONAL_SCALES.get(rational.shape[0] // width) if rational is not None else None


def denoises_pixels(path: Path) -> bool:
    """Whether the file or folder holds LTX-2.5's second video VAE, whose decoder is a diffusion model."""
    try:
        return has_pixel_decoder(read_weights(path))
    except (OSError, WeightsFault):
        return False


def is_decoder_alone(path: Path) -> bool:
    """Whether a folder is that of a diffusion decoder, which diffusers saves without an encoder."""
    return component_config(path).get("_class_name") == DECODER_ALONE


def encoder_beside(decoder: Path) -> Path | None:
    """What encodes for a decoder that is alone: the `vae` that its repository has beside it."""
    beside = decoder.absolute().parent / "vae"
    return beside if beside.is_dir() else None


def _original_vae(weights: Weights) -> bool:
    return has_pixel_decoder(weights) or bool(vae_version(weights.below(vae_prefix(weights) or "")))


def folder_of(path: Path, part: str) -> Path:
    """Where a diffusers folder keeps a part; the part itself, or a file, may be named instead."""
    below = path / part
    return below if below.is_dir() else path


def lora_misuse(path: Path, model: Path, engine: str) -> Misuse | None:
    """Why a LoRA file cannot change the transformer in `model`; None where its header shows nothing. What
    only ComfyUI's core merges is left to it."""
    transformer = read_weights(folder_of(model, "transformer"))
    try:
        found = fit(read_weights(path), _model_tensors(transformer))
    except OSError as error:
        return Misuse(f"a readable file ({error.strerror or error})", "restore the file or its permissions")
    except WeightsFault as fault:
        return Misuse(str(fault), AGAIN)
    of_core = any(key.endswith(CORE_ENDINGS) for key in found.unmatched)
    if not found.fault or (of_core and engine == "comfyui"):
        return None
    return Misuse(found.fault, CORE_REMEDY if of_core else LORA_REMEDY)


def _model_tensors(weights: Weights) -> dict[str, Tensor]:
    prefix = transformer_prefix(weights) or ""
    return {name: tensor for name, tensor in weights.below(prefix).items() if not is_note(name)}

"""What the two nodes refuse before anything is computed: input, value and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.comfyui.loading.model_kind import hears
from actors.engines.comfyui.sampling.guides import GUIDE_KEYS
from farm.nodes.latents import parts_of
from farm.nodes.tables import MAX_SEED
from jobs.errors import InvalidInput
from jobs.frames import SPATIAL, TEMPORAL, ChunkSpan, frames_of, latents_of

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core

Inputs = Mapping[str, Any]

GUIDED = ("first", "middle", "last")
CHANNELS = 128
"""Of LTX-Video's and LTX-2's video latents."""
MIDDLE_FROM = 17
"""Frames of the shortest clip that has a middle latent of its own."""


def check_generate(core: Core, inputs: Inputs) -> None:
    """Raises InvalidInput, or MissingCoreApi."""
    _check(core, inputs)
    _check_clip(inputs)


def check_extend(core: Core, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The chain's video latents `[1, C, T, h, w]` and its sound `[1, C, t, f]`, None without one. Raises as
    `check_generate` does."""
    _check(core, inputs)
    samples = inputs["latent"]["samples"]
    video, *others = parts_of(samples)
    _check_video_latent(video)
    sound = others[0] if others else None
    if sound is None:
        return video, None
    if inputs["audio"] is not None:
        raise InvalidInput(
            "latent carries sound and audio is connected: take `audio` off to go on with the latent's sound, "
            "or separate the latent (LTXV Separate AV Latent) and connect its video part."
        )
    if inputs["audio_vae"] is None:
        raise InvalidInput("latent carries sound and audio_vae is not connected: connect the LTX audio VAE.")
    _require_finite("latent", sound)
    return video, sound


def sampled_model(inputs: Inputs) -> Any:
    """The MODEL that is sampled: an external guider brings its own."""
    return inputs["model"] if inputs["guider"] is None else inputs["guider"].model_patcher


def span_of(inputs: Inputs, length: int) -> ChunkSpan:
    """Where the new clip stands in a chain of `length` latents."""
    new, overlap = inputs["num_new_frames"], inputs["overlap_frames"]
    for name, frames in (("num_new_frames", new), ("overlap_frames", overlap)):
        if frames < TEMPORAL or frames % TEMPORAL:
            raise InvalidInput(f"{name} is {frames}: use a multiple of {TEMPORAL}, at least {TEMPORAL}.")
    if overlap // TEMPORAL > length:
        raise InvalidInput(
            f"overlap_frames {overlap} needs {overlap // TEMPORAL} latents and the latent has {length}: "
            f"use at most {length * TEMPORAL}."
        )
    return ChunkSpan(overlap // TEMPORAL, new // TEMPORAL, length + new // TEMPORAL)


def _check(core: Core, inputs: Inputs) -> None:
    if inputs["frame_rate"] <= 0:
        raise InvalidInput(f"frame_rate is {inputs['frame_rate']}: use frames per second, such as 25.")
    if inputs["seed"] >= MAX_SEED:
        raise InvalidInput(
            f"seed is {inputs['seed']}: core's samplers add one to it, use at most {MAX_SEED - 1}."
        )
    core.require("sampling")
    for name in ("positive", "negative"):
        _check_conditioning(name, inputs[name])
    for name in GUIDED:
        _check_image(f"{name}_image", inputs.get(f"{name}_image"))
    if "latent" in inputs or any(inputs.get(f"{name}_image") is not None for name in GUIDED):
        core.require("guides")
    _check_sigmas(inputs["sigmas"])
    if inputs["upscale"]:
        core.require("upscale")
        _check_upscaler(inputs["upscale_model"])
    _check_sound(core, inputs)


def _check_conditioning(name: str, conditioning: Any) -> None:
    if not conditioning:
        raise InvalidInput(f"{name} is empty: connect the output of a text encoder.")
    guided = [key for _, options in conditioning for key in GUIDE_KEYS if options.get(key) is not None]
    if guided:
        raise InvalidInput(
            f"{name} carries guides of another node ({guided[0]}), which stand for frames of another latent: "
            "connect the conditioning before LTXV Add Guide, and the image to this node's own image inputs."
        )


def _check_image(name: str, image: torch.Tensor | None) -> None:
    if image is None:
        return
    if image.ndim != 4 or image.shape[0] == 0 or image.shape[3] not in (3, 4):
        raise InvalidInput(
            f"{name} has shape {tuple(image.shape)}: connect an IMAGE [frames, height, width, 3 or 4] "
            "of at least one frame."
        )
    _require_finite(name, image)


def _check_sigmas(sigmas: torch.Tensor | None) -> None:
    if sigmas is None:
        return
    values = [float(sigma) for sigma in sigmas]
    if len(values) < 2 or min(values) < 0 or max(values) == 0 or not torch.isfinite(sigmas).all():
        raise InvalidInput(f"sigmas are {values[:8]}: connect at least two noise levels, such as 1 and 0.")


def _check_upscaler(model: Any) -> None:
    if model is None:
        raise InvalidInput("upscale is on without upscale_model: connect a latent upscale model.")
    network = getattr(model, "model", model)
    if getattr(network, "temporal_upsample", False):
        raise InvalidInput(
            "upscale_model adds frames: connect the spatial x2 upsampler, which doubles the size."
        )
    scale = float(getattr(network, "spatial_scale", 2.0))
    if getattr(network, "rational_resampler", False) and scale != 2.0:
        raise InvalidInput(f"upscale_model enlarges {scale:g} times: connect the spatial x2 upsampler.")


def _check_sound(core: Core, inputs: Inputs) -> None:
    audio, vae = inputs["audio"], inputs["audio_vae"]
    if audio is None and vae is None:
        return
    core.require("audio")
    if vae is None:
        raise InvalidInput("audio is connected without audio_vae: connect the LTX audio VAE.")
    if audio is not None and not hears(sampled_model(inputs)):
        raise InvalidInput("audio is connected and the model cannot hear: load an LTX-2 checkpoint.")
    _check_audio_vae(vae)
    if audio is None:
        return
    waveform = audio["waveform"]
    if waveform.ndim != 3 or 0 in waveform.shape:
        raise InvalidInput(
            f"audio has shape {tuple(waveform.shape)}: connect an AUDIO with at least one sample."
        )
    _require_finite("audio", waveform)


def _check_audio_vae(vae: Any) -> None:
    """Before 0.25 the audio VAE is an object of its own; since then it is a VAE with an audio model."""
    inner = getattr(vae, "first_stage_model", vae)
    if not hasattr(inner, "latents_per_second") and not hasattr(vae, "latents_per_second"):
        raise InvalidInput("audio_vae is no audio VAE: load it with LTXV Audio VAE Loader.")


def _check_video_latent(video: torch.Tensor) -> None:
    if video.ndim != 5 or video.shape[0] != 1 or video.shape[1] != CHANNELS or video.shape[2] == 0:
        raise InvalidInput(
            f"latent has shape {tuple(video.shape)}: connect one LTX video latent [1, {CHANNELS}, T, h, w]."
        )
    _require_finite("latent", video)


def _require_finite(name: str, tensor: torch.Tensor) -> None:
    if not torch.isfinite(tensor).all():
        raise InvalidInput(f"{name} has values that are no numbers (NaN or infinite): make it again.")


def _check_clip(inputs: Inputs) -> None:
    frames = inputs["num_frames"]
    if frames < TEMPORAL + 1 or frames % TEMPORAL != 1:
        raise InvalidInput(
            f"num_frames is {frames}: use 8k + 1, such as {frames_of(latents_of(max(frames, 9)))}."
        )
    for name in ("width", "height"):
        if inputs[name] % SPATIAL:
            raise InvalidInput(f"{name} is {inputs[name]}: use a multiple of {SPATIAL}.")
    if inputs["middle_image"] is not None and frames < MIDDLE_FROM:
        raise InvalidInput(
            f"middle_image is connected and num_frames is {frames}: a clip of fewer than {MIDDLE_FROM} "
            "frames has no middle; take it off, or use more frames."
        )

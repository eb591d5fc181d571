"""What the two nodes do, from ComfyUI's inputs to ComfyUI's outputs. Models are freed at every hand-over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.comfyui.audio import encode_track, heard_track, hears, soundtrack_slice
from actors.engines.comfyui.core import Core
from actors.engines.comfyui.decode import black_image, decode_images
from actors.engines.comfyui.guides import Guide, Pair, encode_image
from actors.engines.comfyui.patches import Efficiency
from actors.engines.comfyui.sampling import Recipe, Track, empty_clip, sample_clip
from actors.engines.comfyui.upscale import upsample
from actors.engines.comfyui.vram import free_vram, freed_on_error
from farm.nodes.tables import MAX_SEED
from jobs.errors import InvalidInput
from jobs.frames import (
    SPATIAL,
    TEMPORAL,
    ChunkSpan,
    Span,
    blend_weights,
    frames_of,
    informed,
    latents_of,
    lay_windows,
    middle_frame,
    takeover_weights,
)

Inputs = Mapping[str, Any]
Outputs = tuple[dict[str, Any], torch.Tensor]
GUIDED = ("first", "middle", "last")


def generate(inputs: Inputs) -> Outputs:
    """RSLTXVGenerate."""
    core = Core.current()
    _check(core, inputs)
    _check_clip(inputs)
    frames = inputs["num_frames"]
    with torch.inference_mode(), freed_on_error():
        start = empty_clip(core, inputs["width"], inputs["height"], latents_of(frames))
        places = {"first": 0, "middle": middle_frame(frames), "last": frames - 1}
        clip = sample_clip(
            core,
            inputs["model"],
            _pair(inputs),
            start,
            _recipe(inputs),
            _image_guides(core, inputs, start, places),
            _track(core, inputs, Span(0, frames)),
        )
        whole = latents_of(frames)
        return _finish(core, inputs, clip.video, [ChunkSpan(0, whole, whole)])


def extend(inputs: Inputs) -> Outputs:
    """RSLTXVExtend."""
    core = Core.current()
    _check(core, inputs)
    chain = _video_of(inputs["latent"])
    span = _span(inputs, chain.shape[2])
    with torch.inference_mode(), freed_on_error():
        tail = chain[:, :, -span.overlap :]
        start = empty_clip(core, chain.shape[4] * SPATIAL, chain.shape[3] * SPATIAL, span.sampled)
        guides = [
            Guide.overlap(tail.clone(), inputs["overlap_strength"]),
            *_image_guides(core, inputs, start, {"last": frames_of(span.sampled) - 1}),
        ]
        track = _track(core, inputs, span.sampled_frames)
        clip = sample_clip(core, inputs["model"], _pair(inputs), start, _recipe(inputs), guides, track)
        windows = lay_windows(span.stop, span.overlap, span.new)
        return _finish(core, inputs, join(chain, clip.video, span.overlap), windows)


def join(
    chain: torch.Tensor, sampled: torch.Tensor, overlap: int, weights: Weights = blend_weights
) -> torch.Tensor:
    """The longer chain `[1, C, T + n, h, w]` from the chain and the raw clip of overlap + n latents."""
    host = chain.float().cpu().numpy()
    artifact = extend_artifact(tail_of(host, overlap), sampled.float().cpu().numpy(), weights)
    kept = chain[:, :, : chain.shape[2] - overlap]
    return torch.cat([kept, torch.from_numpy(artifact).to(kept)], dim=2)


def _finish(core: Core, inputs: Inputs, latents: torch.Tensor, windows: Sequence[ChunkSpan]) -> Outputs:
    if inputs["upscale"]:
        free_vram()
        latents = _upscaled(core, inputs, latents, windows)
    images = black_image()
    if inputs["decode"]:
        free_vram()
        images = decode_images(inputs["vae"], latents)
    if inputs["upscale"] or inputs["decode"]:
        free_vram()
    return {"samples": latents}, images


def _upscaled(
    core: Core, inputs: Inputs, latents: torch.Tensor, windows: Sequence[ChunkSpan]
) -> torch.Tensor:
    """Twice the size; the re-sampling then restores detail unless `upscale_denoise` is 0.

    A long chain is re-sampled window by window, each guided by the 2x latents before it as in the farm:
    whole, it would outgrow the device, and the length that models were trained on.
    """
    start = upsample(core, inputs["upscale_model"], inputs["vae"], latents)
    if inputs["upscale_denoise"] <= 0.0:
        return start
    first, *others = windows
    chain = _resampled(core, inputs, start[:, :, : first.stop], 0, [])
    for index, window in enumerate(others, 1):
        tail = chain[:, :, -window.overlap :][:, :, : informed(window.overlap)].clone()
        span = window.artifact
        guides = [Guide.overlap(tail, inputs["overlap_strength"])]
        clip = _resampled(core, inputs, start[:, :, span.start : span.stop], index, guides)
        chain = join(chain, clip, window.overlap, takeover_weights)
    return chain


def _resampled(
    core: Core, inputs: Inputs, start: torch.Tensor, index: int, guides: Sequence[Guide]
) -> torch.Tensor:
    """Window number `index` denoised from `start`; equal noise in every window would show as a pattern."""
    recipe = _upscale_recipe(inputs)
    recipe = replace(recipe, seed=(recipe.seed + index) % (MAX_SEED + 1))
    return sample_clip(core, inputs["model"], _pair(inputs), start, recipe, guides).video


def _pair(inputs: Inputs) -> Pair:
    return inputs["positive"], inputs["negative"]


def _recipe(inputs: Inputs) -> Recipe:
    return Recipe(
        efficiency=Efficiency(inputs["attention_mode"], inputs["ffn_chunks"]),
        **{name: inputs[name] for name in ("seed", "frame_rate", "steps", "cfg", "max_shift", "base_shift")},
        **{name: inputs[name] for name in ("sampler", "sigmas", "guider")},
    )


def _upscale_recipe(inputs: Inputs) -> Recipe:
    return Recipe(
        efficiency=Efficiency(inputs["attention_mode"], inputs["ffn_chunks"]),
        steps=inputs["upscale_steps"],
        cfg=inputs["upscale_cfg"],
        denoise=inputs["upscale_denoise"],
        **{name: inputs[name] for name in ("seed", "frame_rate", "max_shift", "base_shift", "sampler")},
    )


def _image_guides(core: Core, inputs: Inputs, clip: torch.Tensor, places: Mapping[str, int]) -> list[Guide]:
    size = (clip.shape[4] * SPATIAL, clip.shape[3] * SPATIAL)
    guides = []
    for name, frame in places.items():
        image = inputs[f"{name}_image"]
        if image is not None:
            latents = encode_image(core, inputs["vae"], image, size, inputs["crf"])
            guides.append(Guide.image(latents, frame, inputs[f"{name}_strength"], inputs["image_strength"]))
    return guides


def _track(core: Core, inputs: Inputs, frames: Span) -> Track | None:
    """The part of the soundtrack that the clip's frames hear."""
    if inputs["audio"] is None:
        return None
    heard = soundtrack_slice(inputs["audio"], frames, inputs["frame_rate"])
    return heard_track(encode_track(core, inputs["audio_vae"], heard, len(frames), inputs["frame_rate"]))


def _video_of(latent: Mapping[str, Any]) -> torch.Tensor:
    samples = latent["samples"]
    video = samples.unbind()[0] if getattr(samples, "is_nested", False) else samples
    if video.ndim != 5 or video.shape[0] != 1:
        raise InvalidInput(
            f"latent has shape {tuple(video.shape)}: connect one LTX video latent [1, C, T, h, w]."
        )
    return video


def _span(inputs: Inputs, length: int) -> ChunkSpan:
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
    """Refuse before anything is computed what could only fail later."""
    if inputs["frame_rate"] <= 0:
        raise InvalidInput(f"frame_rate is {inputs['frame_rate']}: use frames per second, such as 25.")
    core.require("sampling")
    if "latent" in inputs or any(inputs.get(f"{name}_image") is not None for name in GUIDED):
        core.require("guides")
    if inputs["upscale"]:
        core.require("upscale")
        if inputs["upscale_model"] is None:
            raise InvalidInput("upscale is on without upscale_model: connect a latent upscale model.")
    if inputs["audio"] is not None:
        core.require("audio")
        if inputs["audio_vae"] is None:
            raise InvalidInput("audio is connected without audio_vae: connect the LTX audio VAE.")
        if not hears(_sampled_model(inputs)):
            raise InvalidInput("audio is connected and the model cannot hear: load an LTX-2 checkpoint.")


def _sampled_model(inputs: Inputs) -> Any:
    """The MODEL that is sampled: an external guider brings its own."""
    return inputs["model"] if inputs["guider"] is None else inputs["guider"].model_patcher


def _check_clip(inputs: Inputs) -> None:
    frames = inputs["num_frames"]
    if frames < TEMPORAL + 1 or frames % TEMPORAL != 1:
        raise InvalidInput(
            f"num_frames is {frames}: use 8k + 1, such as {frames_of(latents_of(max(frames, 9)))}."
        )
    for name in ("width", "height"):
        if inputs[name] % SPATIAL:
            raise InvalidInput(f"{name} is {inputs[name]}: use a multiple of {SPATIAL}.")

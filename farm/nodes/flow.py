"""What the two nodes do, from ComfyUI's inputs to ComfyUI's outputs. Models are freed at every hand-over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.comfyui.audio import (
    Kept,
    carried_over,
    encode_track,
    generated_track,
    heard_track,
    hears,
    soundtrack_slice,
)
from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.vram import free_vram, freed_on_error
from actors.engines.comfyui.decode import black_image, decode_images
from actors.engines.comfyui.sampling.denoise import Recipe, Track, empty_clip, sample_clip
from actors.engines.comfyui.sampling.guides import Guide, Pair, encode_image
from actors.engines.comfyui.sampling.patches import Efficiency
from actors.engines.comfyui.upscale import upsample
from farm.nodes.checks import check_extend, check_generate, sampled_model, span_of
from farm.nodes.latents import longer_latent, sound_output
from farm.nodes.tables import MAX_SEED
from jobs.frames import (
    SPATIAL,
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
Latent = dict[str, Any]
Outputs = tuple[Latent, torch.Tensor, Any]
"""LATENT, IMAGE, and LATENT of the sound, which blocks what is connected to it where there is none."""


def generate(inputs: Inputs) -> Outputs:
    """RSLTXVGenerate."""
    core = Core.current()
    check_generate(core, inputs)
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
        latents, images = _finish(core, inputs, clip.video, [ChunkSpan(0, whole, whole)])
        return {"samples": latents}, images, sound_output(clip.audio)


def extend(inputs: Inputs) -> Outputs:
    """RSLTXVExtend."""
    core = Core.current()
    chain, sound = check_extend(core, inputs)
    span = span_of(inputs, chain.shape[2])
    with torch.inference_mode(), freed_on_error():
        tail = chain[:, :, -span.overlap :]
        start = empty_clip(core, chain.shape[4] * SPATIAL, chain.shape[3] * SPATIAL, span.sampled)
        guides = [
            Guide.overlap(tail.clone(), inputs["overlap_strength"]),
            *_image_guides(core, inputs, start, {"last": frames_of(span.sampled) - 1}),
        ]
        kept = None if sound is None else Kept(sound, frames_of(span.overlap))
        track = _track(core, inputs, span.sampled_frames, kept)
        clip = sample_clip(core, inputs["model"], _pair(inputs), start, _recipe(inputs), guides, track)
        windows = lay_windows(span.stop, span.overlap, span.new)
        video = join(chain, clip.video, span.overlap)
        latents, images = _finish(core, inputs, video, windows)
        heard = _whole_sound(core, inputs, kept, clip.audio, frames_of(span.stop))
        return longer_latent(inputs["latent"], latents, heard, span.new), images, sound_output(heard)


def _whole_sound(
    core: Core, inputs: Inputs, kept: Kept | None, sampled: torch.Tensor | None, frames: int
) -> torch.Tensor | None:
    """The sound of the whole film: what was carried over and went on, or the soundtrack that it hears."""
    if kept is not None and sampled is not None:
        shared = carried_over(core, inputs["audio_vae"], kept, inputs["frame_rate"])
        before = kept.latents[:, :, : kept.latents.shape[2] - shared]
        return torch.cat([before, sampled.to(before)], dim=2)
    if inputs["audio"] is None:
        return None
    track = _track(core, inputs, Span(0, frames))
    return None if track is None else track.latents


def join(
    chain: torch.Tensor, sampled: torch.Tensor, overlap: int, weights: Weights = blend_weights
) -> torch.Tensor:
    """The longer chain `[1, C, T + n, h, w]` from the chain and the raw clip of overlap + n latents."""
    host = chain.float().cpu().numpy()
    artifact = extend_artifact(tail_of(host, overlap), sampled.float().cpu().numpy(), weights)
    kept = chain[:, :, : chain.shape[2] - overlap]
    return torch.cat([kept, torch.from_numpy(artifact).to(kept)], dim=2)


def _finish(
    core: Core, inputs: Inputs, latents: torch.Tensor, windows: Sequence[ChunkSpan]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The second pass and the decode that were asked for: latents and images."""
    if inputs["upscale"]:
        free_vram()
        latents = _upscaled(core, inputs, latents, windows)
    images = black_image()
    if inputs["decode"]:
        free_vram()
        images = decode_images(inputs["vae"], latents)
    if inputs["upscale"] or inputs["decode"]:
        free_vram()
    return latents, images


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
    recipe = replace(recipe, seed=(recipe.seed + index) % MAX_SEED)
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


def _track(core: Core, inputs: Inputs, frames: Span, kept: Kept | None = None) -> Track | None:
    """The part of the soundtrack that the clip's frames hear; without one, sound to be made beside the clip
    where an audio VAE is connected, which goes on from `kept`."""
    if inputs["audio"] is not None:
        heard = soundtrack_slice(inputs["audio"], frames, inputs["frame_rate"])
        return heard_track(encode_track(core, inputs["audio_vae"], heard, len(frames), inputs["frame_rate"]))
    makes_sound = kept is not None or ("latent" not in inputs and hears(sampled_model(inputs)))
    if inputs["audio_vae"] is None or not makes_sound:
        return None
    return generated_track(core, inputs["audio_vae"], len(frames), inputs["frame_rate"], kept)

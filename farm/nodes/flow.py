"""What the two nodes do, from ComfyUI's inputs to ComfyUI's outputs. Models are freed at every hand-over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from actors.chain import Weights, extend_artifact, tail_of
from actors.engines.comfyui.audio import (
    AUDIO_RATE,
    Kept,
    audio_format,
    carried_over,
    encode_track,
    generated_track,
    heard_track,
    soundtrack_slice,
)
from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.vram import free_vram, freed_on_error
from actors.engines.comfyui.decode import black_image, decode_images
from actors.engines.comfyui.loading.model_kind import hears
from actors.engines.comfyui.sampling.denoise import Clip, Settings, Track, empty_clip, sample_clip
from actors.engines.comfyui.sampling.guidance import Guidance
from actors.engines.comfyui.sampling.guides import Pair, encode_image
from actors.engines.comfyui.sampling.patches import Efficiency
from actors.engines.comfyui.upscale import upsample
from actors.engines.pieces import Piece
from farm.nodes.checks import check_extend, check_generate, sampled_model, span_of
from farm.nodes.latents import longer_latent, sound_output
from farm.nodes.tables import MAX_SEED
from jobs.frames import (
    SPATIAL,
    ChunkSpan,
    Span,
    audio_sample,
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
    whole = latents_of(frames)
    with torch.inference_mode(), freed_on_error():
        start = empty_clip(core, inputs["width"], inputs["height"], whole)
        track = _track(core, inputs, Span(0, frames))
        guides = _image_guides(core, inputs, start)
        clip = sample_clip(
            core, inputs["model"], _pair(inputs), start, _settings(inputs), guides=guides, track=track
        )
        if inputs["upscale"]:
            free_vram()
            clip = _second_pass(core, inputs, clip, _made_anew(clip, track))
        return {"samples": clip.video}, _images(inputs, clip.video), sound_output(clip.audio)


def extend(inputs: Inputs) -> Outputs:
    """RSLTXVExtend."""
    core = Core.current()
    chain, sound = check_extend(core, inputs)
    span = span_of(inputs, chain.shape[2])
    with torch.inference_mode(), freed_on_error():
        tail = chain[:, :, -span.overlap :]
        start = empty_clip(core, chain.shape[4] * SPATIAL, chain.shape[3] * SPATIAL, span.sampled)
        guides = [
            _overlap(inputs, tail),
            *_image_guides(core, inputs, start),
        ]
        kept = None if sound is None else Kept(sound, frames_of(span.overlap))
        track = _track(core, inputs, span.sampled_frames, kept)
        clip = sample_clip(
            core, inputs["model"], _pair(inputs), start, _settings(inputs), guides=guides, track=track
        )
        video = join(chain, clip.video, span.overlap)
        heard = _whole_sound(core, inputs, kept, clip.audio, frames_of(span.stop))
        if inputs["upscale"]:
            free_vram()
            video = _second_passes(
                core, inputs, Clip(video, heard), lay_windows(span.stop, span.overlap, span.new)
            )
        images = _images(inputs, video)
        return longer_latent(inputs["latent"], video, heard), images, sound_output(heard)


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


def _images(inputs: Inputs, latents: torch.Tensor) -> torch.Tensor:
    """The frames where `decode` is on, else one that is black."""
    if inputs["decode"]:
        free_vram()
    images = decode_images(inputs["vae"], latents) if inputs["decode"] else black_image()
    if inputs["upscale"] or inputs["decode"]:
        free_vram()
    return images


def _made_anew(clip: Clip, track: Track | None) -> Track | None:
    """The first pass's sound for the second: a soundtrack as it is, made sound to be made anew from it."""
    if clip.audio is None or track is None or not track.mask.any():
        return track
    return Track(clip.audio, torch.ones_like(clip.audio))


def _second_pass(core: Core, inputs: Inputs, clip: Clip, track: Track | None) -> Clip:
    """Twice the size; the re-sampling then restores detail unless `upscale_denoise` is 0."""
    start = upsample(core, inputs["upscale_model"], inputs["vae"], clip.video)
    if inputs["upscale_denoise"] <= 0.0:
        return Clip(start, clip.audio)
    return _resampled(core, inputs, start, 0, _image_guides(core, inputs, start), track)


def _second_passes(core: Core, inputs: Inputs, clip: Clip, windows: Sequence[ChunkSpan]) -> torch.Tensor:
    """As `_second_pass`, of a chain whose sound stays.

    A long chain is re-sampled window by window, each guided by the 2x latents before it as by the farm's
    `joint: overlap`: whole, it would outgrow the device, and the length that models were trained on.
    """
    start = upsample(core, inputs["upscale_model"], inputs["vae"], clip.video)
    if inputs["upscale_denoise"] <= 0.0:
        return start
    chain = start[:, :, :0]
    for index, window in enumerate(windows):
        part = start[:, :, window.artifact.start : window.artifact.stop]
        guides = []
        if window.overlap:
            tail = chain[:, :, -window.overlap :][:, :, : informed(window.overlap)]
            guides.append(_overlap(inputs, tail))
        if window is windows[-1]:
            guides += _image_guides(core, inputs, part)
        track = _heard_in(core, inputs, clip.audio, window.sampled_frames)
        made = _resampled(core, inputs, part, index, guides, track).video
        chain = join(chain, made, window.overlap, takeover_weights) if window.overlap else made
    return chain


def _heard_in(core: Core, inputs: Inputs, sound: torch.Tensor | None, frames: Span) -> Track | None:
    """The part of a chain's sound that belongs to these frames of it."""
    if inputs["audio"] is not None:
        return _track(core, inputs, frames)
    if sound is None:
        return None
    rate = inputs["frame_rate"]
    start = audio_sample(frames.start, AUDIO_RATE, rate)
    count = audio_format(core, inputs["audio_vae"], len(frames), rate).latents
    return heard_track(sound[:, :, start : start + count].clone())


def _resampled(
    core: Core, inputs: Inputs, start: torch.Tensor, index: int, guides: Sequence[Piece], track: Track | None
) -> Clip:
    """Window number `index` denoised from `start`; equal noise in every window would show as a pattern."""
    how = _upscale_settings(inputs)
    how = replace(how, seed=(how.seed + index) % MAX_SEED)
    return sample_clip(core, inputs["model"], _pair(inputs), start, how, guides=guides, track=track)


def _pair(inputs: Inputs) -> Pair:
    return inputs["positive"], inputs["negative"]


def _settings(inputs: Inputs) -> Settings:
    return Settings(
        efficiency=Efficiency(inputs["attention_mode"], inputs["ffn_chunks"]),
        guidance=Guidance(inputs["cfg"]),
        **{name: inputs[name] for name in ("seed", "frame_rate", "steps", "max_shift", "base_shift")},
        **{name: inputs[name] for name in ("sampler", "sigmas", "guider")},
    )


def _upscale_settings(inputs: Inputs) -> Settings:
    return Settings(
        efficiency=Efficiency(inputs["attention_mode"], inputs["ffn_chunks"]),
        steps=inputs["upscale_steps"],
        guidance=Guidance(inputs["upscale_cfg"]),
        denoise=inputs["upscale_denoise"],
        **{name: inputs[name] for name in ("seed", "frame_rate", "max_shift", "base_shift")},
        **{name: inputs[name] for name in ("sampler", "guider")},
    )


def _image_guides(core: Core, inputs: Inputs, clip: torch.Tensor) -> list[Piece]:
    """The images at their places in `clip`, encoded at its size."""
    frames = frames_of(clip.shape[2])
    size = (clip.shape[4] * SPATIAL, clip.shape[3] * SPATIAL)
    guides = []
    for name, frame in {"first": 0, "middle": middle_frame(frames), "last": frames - 1}.items():
        image = inputs.get(f"{name}_image")
        if image is not None:
            latents = encode_image(core, inputs["vae"], image, size, inputs["crf"])
            strength = inputs[f"{name}_strength"]
            guides.append(Piece(latents, frame, strength * inputs["image_strength"], strength))
    return guides


def _overlap(inputs: Inputs, tail: torch.Tensor) -> Piece:
    """The chain's last latents at the head of the clip."""
    return Piece(tail.clone(), 0, inputs["overlap_strength"], inputs["overlap_strength"])


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

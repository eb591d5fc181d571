"""Encode: prompts, guide images, source material and sound into what the sampler reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actors.media.audio import CHANNELS, Listen, read_audio
from actors.media.frames import Cut, read_video
from actors.media.images import read_image
from actors.media.preprocess import compress_image
from actors.media.probe import has_sound
from actors.payload import Payload, unpack
from jobs.errors import CorruptArtifact, InvalidInput, StageBug
from jobs.frames import first_sample, latents_of
from jobs.planning.params import EncodeAudio, EncodeClip, EncodeImage, EncodeSource, EncodeText, StageParams

if TYPE_CHECKING:
    from actors.engines.base import Engine

LATENT_NAMES = ("latents", "latent_tensor", "samples")
"""Names under which a latent file may keep its latents; `latent_tensor` is ComfyUI's."""


def encode(params: StageParams, engine: Engine) -> Payload:
    """Conditioning for a prompt, `latents` for a picture or a clip, `audio_latents` for a sound."""
    match params:
        case EncodeText():
            return engine.encode_text(params)
        case EncodeImage():
            return engine.encode_image(params, guide_pixels(params))
        case EncodeClip():
            return encode_clip(params, engine)
        case EncodeSource():
            return encode_source(params, engine)
        case EncodeAudio():
            return engine.encode_audio(params, heard(params))
    raise StageBug(f"{type(params).__name__} is no encode task; report this")


def guide_pixels(params: EncodeImage) -> np.ndarray:
    """The guide image as the model should see it: uint8 `[H, W, 3]`, conformed, through H.264 at `crf`."""
    pixels = read_image(params.path, params.width, params.height, params.fit)
    return compress_image(pixels, params.crf)


def source_frames(params: EncodeSource | EncodeClip) -> np.ndarray:
    """The frames of a source video that open the chain, or of a held clip: uint8 `[8k+1, H, W, 3]`."""
    cut = Cut(params.width, params.height, params.frame_rate, params.frames, params.skip_frames, params.fit)
    return read_video(params.path, cut)


def encode_clip(params: EncodeClip, engine: Engine) -> Payload:
    """The `latents` that are held: the last ones, as the video VAE is causal and has seen those before."""
    latents = engine.encode_video(params, source_frames(params))["latents"]
    return Payload({"latents": np.ascontiguousarray(latents[:, :, latents.shape[2] - params.latents :])})


def encode_source(params: EncodeSource, engine: Engine) -> Payload:
    """The `latents` that open the chain, and the `audio_latents` that a generated sound goes on from."""
    if params.kind == "latent":
        latents = source_latents(params)
    else:
        latents = engine.encode_video(params, source_frames(params))
    if params.sample_rate is None:
        return latents
    sound = source_sound(params, params.sample_rate)
    sounds = params.kind == "video" and has_sound(params.path)
    audio = engine.encode_audio(sound, heard(sound) if sounds else silence(sound))
    return Payload({**latents.arrays, **audio.arrays}, {**latents.meta, **audio.meta})


def source_sound(params: EncodeSource, sample_rate: int) -> EncodeAudio:
    """What is heard during the source's frames."""
    start, stop = (
        first_sample(frame, params.sound_start_s, sample_rate, params.frame_rate)
        for frame in (params.skip_frames, params.skip_frames + params.frames)
    )
    return EncodeAudio(params.path, start, stop, sample_rate, params.frame_rate, params.frames)


def silence(params: EncodeAudio) -> np.ndarray:
    """As many samples as `heard` gives."""
    return np.zeros((CHANNELS, params.stop_sample - params.start_sample), np.float32)


def heard(params: EncodeAudio) -> np.ndarray:
    """The samples that a chunk hears: float32 `[2, samples]`."""
    return read_audio(params.path, Listen(params.start_sample, params.stop_sample, params.sample_rate))


def source_latents(params: EncodeSource) -> Payload:
    """The last latents of a latent file, `params.frames` frames of them, as float32."""
    try:
        payload = unpack(Path(params.path).read_bytes())
    except CorruptArtifact:
        raise InvalidInput(f"{params.path} is no safetensors file; name one that holds latents") from None
    name = next((name for name in LATENT_NAMES if name in payload), None)
    if name is None:
        found = ", ".join(sorted(payload.arrays)) or "nothing"
        raise InvalidInput(
            f"{params.path} holds {found}; store latents [1, C, T, h, w] under `{LATENT_NAMES[0]}`"
        )
    wanted = latents_of(params.frames)
    latents = _as_float(payload, name)
    if latents.ndim != 5 or latents.shape[0] != 1 or latents.shape[2] < wanted:
        raise InvalidInput(f"{params.path} has the shape {latents.shape}, due were {wanted} latents or more")
    return Payload({"latents": np.ascontiguousarray(latents[:, :, latents.shape[2] - wanted :])})


def _as_float(payload: Payload, name: str) -> np.ndarray:
    array = payload[name]
    if name in payload.bf16_names:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)

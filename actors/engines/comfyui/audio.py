"""LTX-2's audio side: a soundtrack becomes latents, latents become sound.

An AUDIO is `{"waveform": [B, channels, samples], "sample_rate": int}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.comfyui.sampling.denoise import Track
from jobs.errors import InvalidInput
from jobs.frames import Span, audio_sample

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core

CHANNELS = 2
AUDIO_RATE = 25
"""Audio latents a second."""


@dataclass(frozen=True)
class AudioFormat:
    """Shape of the audio latents that stand beside a clip: `[1, channels, latents, bins]`."""

    channels: int
    latents: int
    bins: int


@dataclass(frozen=True)
class Kept:
    """The previous clip's audio latents, whose last `frames` frames an extend carries over."""

    latents: torch.Tensor
    frames: int


def audio_format(core: Core, audio_vae: Any, frames: int, frame_rate: float) -> AudioFormat:
    """What the core's own empty audio latent has for a clip of `frames` frames."""
    empty = core.call(
        "LTXVEmptyLatentAudio", frames_number=frames, frame_rate=frame_rate, batch_size=1, audio_vae=audio_vae
    )[0]["samples"]
    return AudioFormat(empty.shape[1], empty.shape[2], empty.shape[3])


def soundtrack_slice(audio: dict[str, Any], frames: Span, frame_rate: float) -> dict[str, Any]:
    """What a soundtrack says during `frames` of the film, stereo, silence past its end."""
    rate = int(audio["sample_rate"])
    start, stop = audio_sample(frames.start, rate, frame_rate), audio_sample(frames.stop, rate, frame_rate)
    heard = stereo(audio["waveform"][:1, :, start:stop])
    heard = torch.nn.functional.pad(heard, (0, stop - start - heard.shape[2]))
    return {"waveform": heard.contiguous(), "sample_rate": rate}


def stereo(waveform: torch.Tensor) -> torch.Tensor:
    """`[B, channels, samples]` -> `[B, 2, samples]`: one channel twice, or the first two."""
    return waveform.expand(-1, CHANNELS, -1) if waveform.shape[1] == 1 else waveform[:, :CHANNELS]


def encode_track(
    core: Core, audio_vae: Any, audio: dict[str, Any], frames: int, frame_rate: float
) -> torch.Tensor:
    """AUDIO of a clip's length -> audio latents `[1, C, t, f]`, as many as the clip of `frames` needs."""
    core.require("audio")
    form = audio_format(core, audio_vae, frames, frame_rate)
    latents = core.call("LTXVAudioVAEEncode", audio=audio, audio_vae=audio_vae)[0]["samples"]
    if latents.shape[2] == 0:
        raise InvalidInput("the soundtrack's slice is too short to encode: render longer chunks.")
    missing = form.latents - latents.shape[2]
    if missing > 0:
        latents = torch.cat([latents, latents[:, :, -1:].expand(-1, -1, missing, -1)], dim=2)
    return latents[:, :, : form.latents]


def heard_track(latents: torch.Tensor) -> Track:
    """A given soundtrack: the video listens to it, it is not denoised."""
    return Track(latents, torch.zeros_like(latents))


def generated_track(
    core: Core,
    audio_vae: Any,
    frames: int,
    frame_rate: float,
    previous: Kept | None = None,
    start: torch.Tensor | None = None,
) -> Track:
    """Audio latents to be denoised beside a clip of `frames`, from `start` or from nothing; what is carried
    over stands at their head."""
    core.require("audio")
    form = audio_format(core, audio_vae, frames, frame_rate)
    latents = torch.zeros(1, form.channels, form.latents, form.bins) if start is None else start.clone()
    mask = torch.ones_like(latents)
    if previous is not None:
        kept = min(carried_over(core, audio_vae, previous, frame_rate), latents.shape[2])
        latents[:, :, :kept] = previous.latents[:, :, previous.latents.shape[2] - kept :]
        mask[:, :, :kept] = 0.0
    return Track(latents, mask)


def carried_over(core: Core, audio_vae: Any, previous: Kept, frame_rate: float) -> int:
    """How many of the previous clip's audio latents an extend takes."""
    wanted = audio_format(core, audio_vae, previous.frames, frame_rate).latents
    return min(wanted, previous.latents.shape[2])


def decode_track(core: Core, audio_vae: Any, latents: torch.Tensor) -> dict[str, Any]:
    """Audio latents -> AUDIO at the vocoder's own rate."""
    core.require("audio")
    return core.call("LTXVAudioVAEDecode", samples={"samples": latents}, audio_vae=audio_vae)[0]

"""Retakes: a clip of a source of which a part is made anew, and the film's frames of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import AUDIO
from actors.engines.pieces import PassSound, Piece
from actors.media.audio import CHANNELS, Listen, read_audio, resampled
from actors.media.frames import Cut, read_video
from actors.media.probe import has_sound
from actors.media.segment import crossfade
from actors.payload import Payload
from actors.steps.decode import FIRST_FRAME_KEY
from actors.steps.sound import SoundSamples
from jobs.frames import audio_sample, first_sample

if TYPE_CHECKING:
    from jobs.planning.retakes.params import PartlyMade, ShowSource, Splice


def partly_held(part: PartlyMade, source: Payload) -> Piece:
    """The clip of the source, of which all is held but what is made anew."""
    latents = source["latents"]
    return Piece(Payload({"latents": latents}), hold=part.holds(latents.shape[2]))


def partly_heard(part: PartlyMade, heard: Payload, frame_rate: float) -> PassSound:
    """The sound of the clip, likewise; nothing where none is heard."""
    if AUDIO not in heard:
        return PassSound()
    return PassSound(heard[AUDIO], held=True, made_s=part.heard_s(frame_rate))


def show_source(params: ShowSource) -> Payload:
    """`frames` uint8 `[F, H, W, 3]` of a source as they are, and what is heard meanwhile."""
    first = params.skip_frames + params.start
    cut = Cut(params.width, params.height, params.frame_rate, params.frames, first, params.fit)
    frames = Payload({"frames": read_video(params.path, cut)}, {FIRST_FRAME_KEY: str(params.start)})
    if params.sample_rate is None:
        return frames
    return _source_sound(params, params.sample_rate).add_to(frames)


def _source_sound(params: ShowSource, rate: int) -> SoundSamples:
    start, stop = (
        audio_sample(frame, rate, params.frame_rate) for frame in (params.start, params.start + params.frames)
    )
    if not has_sound(params.path):
        return SoundSamples(np.zeros((CHANNELS, stop - start), np.float32), rate, start)
    begins = first_sample(params.skip_frames, params.sound_start_s, rate, params.frame_rate)
    heard = read_audio(params.path, Listen(start + begins, stop + begins, rate))
    return SoundSamples(heard, rate, start)


def spliced_frames(splice: Splice, made: np.ndarray, source: np.ndarray) -> list[np.ndarray]:
    """The frames of a source with those that are made anew in their place, uint8
    `[F, H, W, 3]`, in blocks."""
    if not splice.picture:
        return [source]
    first, last = splice.fade_in, len(made) - splice.fade_out
    return [
        crossfade(made[:first], source[:first]),
        made[first:last],
        crossfade(source[last:], made[last:]),
    ]


def spliced_sound(
    splice: Splice, made: Payload, source: Payload, frame_rate: float
) -> tuple[np.ndarray, int]:
    """What is heard meanwhile, float32 `[2, samples]`, and its rate, which is that of the source's sound."""
    kept = SoundSamples.of_payload(source)
    if not splice.sound:
        return kept.samples, kept.rate
    own, samples = SoundSamples.of_payload(made), kept.samples.shape[1]
    new = resampled(own.samples, own.rate, kept.rate)[:, :samples]
    new = np.pad(new, ((0, 0), (0, samples - new.shape[1])))
    share = np.ones(samples, np.float32)
    first, last = (
        audio_sample(frames, kept.rate, frame_rate) for frames in (splice.fade_in, splice.fade_out)
    )
    share[:first] = _rising(first)
    share[samples - last :] = _rising(last)[::-1]
    return share * new + (1 - share) * kept.samples, kept.rate


def _rising(samples: int) -> np.ndarray:
    return np.arange(1, samples + 1, dtype=np.float32) / np.float32(samples + 1)

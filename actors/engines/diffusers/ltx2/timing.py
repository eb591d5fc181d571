"""Where sound lies beside frames: one grid of 25 latents a second from the shot's first frame.

A clip's first audio latent is the one on the grid that is nearest to the clip's first frame; `shift_s` is
what this rounding leaves, so that sound is heard when it belongs however many chunks there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from jobs.frames import TEMPORAL, ChunkSpan, exact_rate, frames_of

if TYPE_CHECKING:
    from jobs.planning.rounds.params import HeardPart

AUDIO_RATE = 25
"""Audio latents a second: 16,000 samples, 160 to a mel frame, 4 mel frames to a latent."""


@dataclass(frozen=True)
class Heard:
    """The audio latents of a clip: how many, how many of them the chain before it has, and how many seconds
    they lie behind the clip's first frame."""

    latents: int
    kept: int
    shift_s: float

    @classmethod
    def of_clip(cls, frames: int, frame_rate: float) -> Heard:
        """Of a clip that starts a shot."""
        return cls.at(0, frames, frame_rate)

    @classmethod
    def at(cls, start: int, frames: int, frame_rate: float, known: int = 0) -> Heard:
        """Of a clip of `frames` whose first latent is number `start` of its chain; the chain before it shows
        `known` of these frames."""
        rate = exact_rate(frame_rate)
        begin = TEMPORAL * start / rate
        first = _nearest(begin)
        stop, behind = (_nearest(begin + count / rate) for count in (frames, known))
        return cls(stop - first, max(0, behind - first), float(Fraction(first, AUDIO_RATE) - begin))


def heard_of(span: ChunkSpan, frame_rate: float) -> Heard:
    """The sound of a chunk's sampled clip."""
    start = span.stop - span.sampled
    return Heard.at(start, frames_of(span.sampled), frame_rate, frames_of(span.overlap))


def stretched(sound: np.ndarray, heard: HeardPart, latents: int) -> np.ndarray:
    """Audio latents `[1, channels, t, bins]` -> as many `latents` that sound as the part does, straight
    lines between those of the source (`_audio_window_for_tile` of diffusers 0.42)."""
    count = sound.shape[2]
    first, span = (count * seconds / heard.source_s for seconds in (heard.start_s, heard.seconds))
    places = (first + span / latents * np.arange(latents)).clip(0, count - 1)
    low = places.astype(int)
    share = (places - low).astype(np.float32)[:, None]
    return sound[:, :, low] * (1 - share) + sound[:, :, np.minimum(low + 1, count - 1)] * share


def _nearest(seconds: Fraction) -> int:
    """The latent of the grid that is nearest to a time, half to even as Lightricks rounds."""
    return round(seconds * AUDIO_RATE)

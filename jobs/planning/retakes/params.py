"""What stages are given of retakes, as part of their parameters."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.frames import Span, exact_rate, frames_of_latents
from jobs.spec.base import Fit


@dataclass(frozen=True, slots=True)
class PartlyMade:
    """What of a clip is made anew, all else of which is held: the latents `made`, where `picture` their
    pictures, where `sound` what is heard meanwhile."""

    made: Span
    picture: bool
    sound: bool

    def holds(self, latents: int) -> tuple[float, ...]:
        """How firmly each of the clip's `latents` stays what it is: 1, or 0 where pictures are made."""
        made = self.made if self.picture else Span(0, 0)
        return tuple(float(not made.start <= at < made.stop) for at in range(latents))

    def heard_s(self, frame_rate: float) -> tuple[float, float] | None:
        """The moments of the clip between which the sound is made, seconds; None where none is."""
        if not self.sound:
            return None
        frames, rate = frames_of_latents(self.made), exact_rate(frame_rate)
        return float(frames.start / rate), float(frames.stop / rate)


@dataclass(frozen=True, slots=True)
class ShowSource:
    """Frames of a source as they are, conformed to `width` x `height` by `fit` and to `frame_rate`: those of
    the film from `start` on, of which frame 0 comes after `skip_frames` of the source.

    Where the film's sound is made, that of these frames comes along, brought to `sample_rate`: silence where
    the source has none. It starts `sound_start_s` after the source's first frame.
    """

    path: str
    width: int
    height: int
    frame_rate: float
    skip_frames: int
    start: int
    frames: int
    sample_rate: int | None
    sound_start_s: float
    fit: Fit


@dataclass(frozen=True, slots=True)
class Splice:
    """How a segment is made of frames of a source and of those that are made anew in their place: the first
    `fade_in` frames fade to these, the last `fade_out` back. `picture` and `sound` say which is taken; what
    is not stays the source's."""

    fade_in: int
    fade_out: int
    picture: bool
    sound: bool

"""What stages are given of retakes, as part of their parameters."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.frames import Span
from jobs.spec.base import Fit


@dataclass(frozen=True, slots=True)
class PartlyMade:
    """What of a clip is made anew, all else of which is held: the latents `made`, where `picture` their
    pictures, where `sound` what is heard meanwhile."""

    made: Span
    picture: bool
    sound: bool


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

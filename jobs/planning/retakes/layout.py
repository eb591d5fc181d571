"""Which latents of a source a retake makes anew, which are held around them, and what is seen of it. Pure.

A source is counted as a shot is: latent 0 is its first frame, latent i >= 1 its frames 8i-7 .. 8i. Its film
ends with its last whole latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import TYPE_CHECKING

from jobs.frames import (
    TEMPORAL,
    ChunkSpan,
    DecodeWindow,
    Span,
    exact_rate,
    frames_of,
    frames_of_latents,
    latents_of,
)
from jobs.places import Location
from jobs.planning.expand import setting
from jobs.spec.retake import Retake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jobs.planning.expand import Variant
    from jobs.planning.planned import PlannedRetake
    from jobs.spec.retake import Moment

LEAST_HELD = 2
"""Latents that are held on each side of what is made anew, where the source has them: one in which frames
fade, and one that says how fast things move. The first of a clip shows a single frame."""


def asked_frames(retake: Retake, frame_rate: float) -> Span:
    """The frames that are shown between its start and its stop."""
    return Span(_frame(retake.start, frame_rate, floor), _frame(retake.stop, frame_rate, ceil))


def _frame(moment: Moment, frame_rate: float, rounded: Callable[[Fraction], int]) -> int:
    if isinstance(moment, int):
        return moment
    return rounded(Fraction(moment.rstrip("s").strip()) * exact_rate(frame_rate))


def widened(frames: Span, latents: int) -> Span:
    """The latents that show these frames, of the `latents` of a source."""
    return Span(_latent_of(frames.start), min(_latent_of(frames.stop - 1) + 1, latents))


def _latent_of(frame: int) -> int:
    return (frame + TEMPORAL - 1) // TEMPORAL


@dataclass(frozen=True, slots=True)
class RetakenPart:
    """One retake of a source of `latents`; `room` are those between the parts before and behind it, from
    which `sampled` are sampled together."""

    retake: Retake
    place: Location
    asked: Span
    made: Span
    room: Span
    sampled: int

    @property
    def held_at_least(self) -> int:
        """Latents that have to be held, on both sides together."""
        before, behind = self.made.start - self.room.start, self.room.stop - self.made.stop
        return min(before, LEAST_HELD) + min(behind, LEAST_HELD)

    @property
    def clip(self) -> Span:
        """The latents that are sampled together: as many as may be, about as many before the part as behind
        it."""
        before, behind = self.made.start - self.room.start, self.room.stop - self.made.stop
        spare = self.sampled - len(self.made)
        right = min(behind, max(spare // 2, spare - before))
        left = min(before, spare - right)
        return Span(self.made.start - left, self.made.stop + right)

    @property
    def shown(self) -> Span:
        """The latents of which its chunk owns the frames: one more on each side that is held."""
        clip = self.clip
        return Span(max(self.made.start - 1, clip.start), min(self.made.stop + 1, clip.stop))


def lay_retakes(variant: Variant, frames: int) -> tuple[RetakenPart, ...]:
    """The retakes of a source of `frames` = 8k+1 frames, by their place in it."""
    latents, here = latents_of(frames), ("videos", variant.index, "retakes")
    asked = [
        (asked_frames(retake, variant.frame_rate), number, retake)
        for number, retake in enumerate(variant.video.retakes)
    ]
    asked.sort(key=lambda each: (each[0].start, each[0].stop, each[1]))
    made = [widened(frames, latents) for frames, _, _ in asked]
    stops, starts = [0, *(span.stop for span in made)], [*(span.start for span in made[1:]), latents]
    return tuple(
        RetakenPart(retake, (*here, number), frames, span, Span(before, behind), _sampled(retake, variant))
        for (frames, number, retake), span, before, behind in zip(asked, made, stops, starts, strict=False)
    )


def _sampled(retake: Retake, variant: Variant) -> int:
    return latents_of(int(setting(retake, variant.defaults, "num_frames")))


def too_near(parts: Sequence[RetakenPart]) -> Iterator[RetakenPart]:
    """Parts that begin less than two whole latents behind the one before them, in which both would fade."""
    yield from (part for before, part in pairwise(parts) if part.made.start - before.made.stop < LEAST_HELD)


def own_span(clip: Span) -> ChunkSpan:
    """The clip of a retake, which is one of its own: its first latent shows one frame."""
    return ChunkSpan(0, len(clip), len(clip))


def own_window(clip: Span, shown: Span, context: int, picture: bool = True) -> DecodeWindow:
    """What of the clip is decoded: the latents `shown`, with `context` on both sides; of what keeps its
    pictures none, and the sound alone is heard."""
    window = shown.shifted(-clip.start)
    if not picture:
        return DecodeWindow(Span(0, 0), window, Span(0, 0))
    seen = Span(max(0, window.start - context), min(len(clip), window.stop + context))
    keep = frames_of_latents(window.shifted(-seen.start))
    return DecodeWindow(seen, window, keep)


def fades(retake: PlannedRetake) -> tuple[int, int]:
    """Frames that fade into the part, and out of it."""
    first, last = Span(retake.shown.start, retake.made.start), Span(retake.made.stop, retake.shown.stop)
    return len(frames_of_latents(first)) if first else 0, len(frames_of_latents(last)) if last else 0


def sampled_frames(clip: Span) -> Span:
    """Frames that the clip shows, its first latent as the last frame of it."""
    return Span(TEMPORAL * clip.start, frames_of(clip.stop))

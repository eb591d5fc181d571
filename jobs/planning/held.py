"""Held joints: chunks that meet in an image, or in a short clip, that both of them hold; and how long the
chains are in which chunks wait for one another. Pure.

Chunk k ends and chunk k+1 begins with what is held at frame f: an image fills slot 0 of k+1, which is
dropped when the two are joined, as it shows frame f again. Of a clip, f - 8m + 1 .. f end chunk k and
f .. f + 8q begin chunk k+1; one frame before is encoded along, as the video VAE is causal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL
from jobs.spec.chunk import GuideImage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobs.planning.planned import PlannedChunk, PlannedVideo

LEAST_CLIP = 2
"""Latents of a clip that end a chunk: a single one would be one still."""

APART = 8
"""Frames between two stills that say how fast things move where chunks meet."""


@dataclass(frozen=True, slots=True)
class HeldJoint:
    """What is held where a chunk ends; `latents` of a clip (none of an image) belong to that chunk."""

    guide: GuideImage
    latents: int = 0

    def latents_after(self, frames: int, new: int) -> int:
        """Latents of a clip of `frames` that begin the next chunk, which adds `new`, besides slot 0."""
        return min((frames - 1) // TEMPORAL - self.latents, new)

    @property
    def least_frames(self) -> int:
        """Frames that a clip must have: one to look at, those of this chunk, and a latent of the next."""
        return TEMPORAL * (self.latents + 1) + 1


def held_joint(guides: Iterable[GuideImage], frames: int) -> HeldJoint | None:
    """What a chunk of `frames` own frames ends with and its follower begins with; None where that is
    nothing."""
    return next((joint for guide in guides if (joint := at_the_end(guide, frames)) is not None), None)


def at_the_end(guide: GuideImage, frames: int) -> HeldJoint | None:
    """The joint that this one makes at the end of a chunk of `frames` own frames, if any."""
    if not guide.hold:
        return None
    behind = frames - 1 - (guide.frame if guide.frame >= 0 else frames + guide.frame)
    if guide.image is not None:
        return HeldJoint(guide) if behind == 0 else None
    latents, rest = divmod(behind, TEMPORAL)
    return HeldJoint(guide, latents) if latents >= LEAST_CLIP and not rest else None


def longest_chain(video: PlannedVideo) -> int:
    """Chunks of the longest chain of the first pass. Source material is not sampled."""
    return _longest(chunk.continues for chunk in video.chunks if chunk.is_sampled)


def longest_without_held(video: PlannedVideo) -> int:
    """As `longest_chain`, did every chunk wait for the one before it."""
    return _longest(chunk.kind == "extend" for chunk in video.chunks if chunk.is_sampled)


def _longest(continues: Iterator[bool]) -> int:
    longest = here = 0
    for goes_on in continues:
        here = here + 1 if goes_on else 1
        longest = max(longest, here)
    return longest


def single_stills(video: PlannedVideo) -> Iterator[PlannedChunk]:
    """Chunks that meet the one before them in one still: nothing says how fast things move there."""
    for before, chunk in zip(video.chunks, video.chunks[1:], strict=False):
        if chunk.joint != "still" or any(guide.clip for guide in chunk.guides if guide.frame == 0):
            continue
        behind = 8 * (before.span.sampled - 1) - APART
        if not (_has(before, behind) and _has(chunk, APART)):
            yield chunk


def _has(chunk: PlannedChunk, frame: int) -> bool:
    return any(guide.frame == frame for guide in chunk.guides)

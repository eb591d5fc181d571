"""How long the chains of a film are: chunks that have to be sampled one after the other. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.planning.planned import PlannedChunk, PlannedVideo

APART = 8
"""Frames between two stills that say how fast things move where chunks meet."""


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

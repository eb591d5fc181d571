"""What retakes become on the grid of a source's latents: said before the render."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL, Span, frames_of, frames_of_latents
from jobs.planning.retakes.layout import fades, sampled_frames
from jobs.wording import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.planning.facts import SourceFacts
    from jobs.planning.planned import PlannedChunk, PlannedVideo

MOST_SAID = 8
"""Retakes that are named one by one."""


def retake_notices(video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    """One line for each part that is made anew, and one for frames that no whole latent shows."""
    parts = [chunk for chunk in video.chunks if chunk.retake is not None]
    yield from (_widened(chunk) for chunk in parts[:MOST_SAID])
    if len(parts) > MOST_SAID:
        yield f"{len(parts) - MOST_SAID} more retakes are widened likewise; `farm plan` lists their frames"
    if parts and parts[0].source is not None:
        yield from _left_out(parts[0].source.path, video, facts)


def _widened(chunk: PlannedChunk) -> str:
    retake = chunk.retake
    assert retake is not None
    made, place = frames_of_latents(retake.made), chunk.place.partition(".")[2]
    what = {(True, True): "pictures and sound", (True, False): "pictures"}.get(
        (retake.picture, retake.sound), "the sound"
    )
    wider = "" if made == retake.asked else f", from frames {_listed(retake.asked)} widened to whole latents"
    first, last = fades(retake)
    around = [Span(made.start - first, made.start), Span(made.stop, made.stop + last)]
    faded = " and ".join(_listed(frames) for frames in around if frames)
    fading = f"; frames {faded} fade into them" if faded else ""
    together = f"{frames_of(len(retake.clip))} frames, {_listed(sampled_frames(retake.clip))}"
    return (
        f"{place} makes {what} of frames {_listed(made)} anew{wider}{fading}, all others stay as they are. "
        f"{together}, are sampled together"
    )


def _listed(frames: Span) -> str:
    return f"{frames.start} to {frames.stop - 1}"


def _left_out(path: str, video: PlannedVideo, facts: SourceFacts) -> Iterator[str]:
    """`last_frames` has chosen them."""
    have = facts.frames(path, video.frame_rate)
    rest = have - video.frames if have is not None else 0
    if 0 < rest < TEMPORAL and video.chunks[0].source is not None and not video.chunks[0].source.skip_frames:
        yield (
            f"the last {amount(rest, 'frame')} of {Path(path).name} are left out: its film ends with a whole "
            f"latent, after {video.frames} frames"
        )

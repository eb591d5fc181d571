"""Small pictures for the report, read from the films: a thumbnail a chunk, and both sides of each seam."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.media.frames import frame_at
from jobs.planning.planned import PlannedChunk, PlannedVideo

THUMB_WIDTH, SEAM_WIDTH, JPEG_QUALITY = 160, 224, 72
MOST_THUMBS, MOST_SEAMS = 240, 40
DIFFERENCE_GAIN = 4


@dataclass(frozen=True, slots=True)
class Thumb:
    """The middle frame that a chunk owns, as a data URL."""

    chunk: PlannedChunk
    frame: int
    image: str


@dataclass(frozen=True, slots=True)
class Seam:
    """Both sides of a seam, their difference (amplified), and its mean over all pixels, 0-255."""

    chunk: PlannedChunk
    frame: int
    before: str
    after: str
    difference: str
    mean_difference: float


def spread(items: Sequence[PlannedChunk], most: int) -> list[PlannedChunk]:
    """All items, or `most` of them evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def thumbs(video: PlannedVideo, film: Path, frames: int, most: int) -> Iterator[Thumb]:
    """Thumbnails of the chunks whose frames lie within the film's first `frames`, in order."""
    for chunk in spread([chunk for chunk in video.chunks if _within(chunk, frames)], most):
        frame = (chunk.owned.start + chunk.owned.stop) // 2
        yield Thumb(chunk, frame, _jpeg(_pixels(film, frame, video, THUMB_WIDTH)))


def seams(video: PlannedVideo, film: Path, frames: int, most: int) -> Iterator[Seam]:
    """Seams inside shots: where an extend takes over from the chunk before it."""
    inside = [chunk for chunk in video.chunks if chunk.index_in_shot and _within(chunk, frames)]
    for chunk in spread(inside, most):
        frame = chunk.owned.start
        before, after = (_pixels(film, at, video, SEAM_WIDTH) for at in (frame - 1, frame))
        gap = np.abs(after.astype(np.int16) - before.astype(np.int16))
        shown = np.clip(gap * DIFFERENCE_GAIN, 0, 255).astype(np.uint8)
        yield Seam(chunk, frame, _jpeg(before), _jpeg(after), _jpeg(shown), float(gap.mean()))


def _within(chunk: PlannedChunk, frames: int) -> bool:
    return bool(len(chunk.owned)) and chunk.owned.stop <= frames


def _pixels(film: Path, frame: int, video: PlannedVideo, width: int) -> np.ndarray:
    from PIL import Image

    png = frame_at(film, frame, video.frame_rate, width)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _jpeg(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

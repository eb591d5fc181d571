"""Small pictures for the report, read from the films: a thumbnail a chunk, and both sides of each seam."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.media.frames import frame_at
from jobs.planning.planned import PlannedChunk, PlannedVideo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

THUMB_WIDTH, SEAM_WIDTH, JPEG_QUALITY = 160, 224, 72
MOST_THUMBS, MOST_SEAMS = 240, 40
DIFFERENCE_GAIN = 4


@dataclass(frozen=True, slots=True)
class Thumb:
    """The middle frame that a chunk owns; `image` is the URL of the picture, with its data or without."""

    chunk: PlannedChunk
    frame: int
    image: str


@dataclass(frozen=True, slots=True)
class Seam:
    """URLs of both sides of a seam and of their difference (amplified), and its mean over all pixels, 0-255:
    None before it is measured."""

    chunk: PlannedChunk
    frame: int
    before: str
    after: str
    difference: str
    mean_difference: float | None


def spread(items: Sequence[PlannedChunk], most: int) -> list[PlannedChunk]:
    """All items, or `most` of them evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def thumbs(video: PlannedVideo, film: Path, frames: int, most: int) -> Iterator[Thumb]:
    """Thumbnails of the chunks whose frames lie within the film's first `frames`, in order."""
    for chunk in shown_chunks(video, frames, most):
        frame = middle(chunk)
        yield Thumb(chunk, frame, _url(thumb_jpeg(video, film, frame)))


def seams(video: PlannedVideo, film: Path, frames: int, most: int) -> Iterator[Seam]:
    """Seams inside shots: where an extend takes over from the chunk before it."""
    for chunk in seam_chunks(video, frames, most):
        (before, after, gap), mean = seam_jpegs(video, film, chunk.owned.start)
        yield Seam(chunk, chunk.owned.start, _url(before), _url(after), _url(gap), mean)


def shown_chunks(video: PlannedVideo, frames: int, most: int) -> list[PlannedChunk]:
    """Chunks whose frames lie within the first `frames`; of more than `most` some, evenly spread."""
    return spread([chunk for chunk in video.chunks if _within(chunk, frames)], most)


def seam_chunks(video: PlannedVideo, frames: int, most: int) -> list[PlannedChunk]:
    """Of those, the ones that take over inside a shot."""
    inside = [chunk for chunk in video.chunks if chunk.index_in_shot and _within(chunk, frames)]
    return spread(inside, most)


def middle(chunk: PlannedChunk) -> int:
    """The frame of the film that stands for a chunk."""
    return (chunk.owned.start + chunk.owned.stop) // 2


def thumb_jpeg(video: PlannedVideo, film: Path, frame: int) -> bytes:
    """A small picture of one frame."""
    return _jpeg(_pixels(film, frame, video, THUMB_WIDTH))


def seam_jpegs(video: PlannedVideo, film: Path, frame: int) -> tuple[tuple[bytes, bytes, bytes], float]:
    """The frame before a seam, `frame` after it, and their difference, amplified; its mean, 0-255."""
    before, after = (_pixels(film, at, video, SEAM_WIDTH) for at in (frame - 1, frame))
    gap = np.abs(after.astype(np.int16) - before.astype(np.int16))
    shown = np.clip(gap * DIFFERENCE_GAIN, 0, 255).astype(np.uint8)
    return (_jpeg(before), _jpeg(after), _jpeg(shown)), float(gap.mean())


def _within(chunk: PlannedChunk, frames: int) -> bool:
    return bool(len(chunk.owned)) and chunk.owned.stop <= frames


def _pixels(film: Path, frame: int, video: PlannedVideo, width: int) -> np.ndarray:
    from PIL import Image

    png = frame_at(film, frame, video.frame_rate, width)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()

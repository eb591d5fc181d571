"""What a chunk's temporal rounds are made of: stills of the passes before, a canvas, and its tiles; and in
which windows it is decoded then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL, ChunkSpan, Span
from jobs.planning.rounds.layout import (
    Tile,
    canvas_seams,
    rounds_of,
    seams,
    seen_rate,
    tiles,
)
from jobs.planning.rounds.params import CanvasParams, HeardPart, TileParams, round_sampling
from jobs.planning.sampling import GuideUse
from jobs.planning.seeds import derive_seed
from jobs.tasks.task import Stage, task_id

if TYPE_CHECKING:
    from jobs.planning.params import PassParams
    from jobs.planning.planned import PlannedChunk, PlannedGuide, PlannedVideo


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of one chunk, whose clip has `span` in the chain of the second pass; `temporal` of the
    film's frames are made of each of its."""

    video: str
    chunk: int
    span: ChunkSpan
    temporal: int

    @property
    def numbers(self) -> range:
        """Of the rounds, from 1."""
        return rounds_of(self.temporal)

    @property
    def starts_at_seam(self) -> bool:
        """Whether the clip begins with what the chunk before it ends with."""
        return self.span.overlap > 0

    def keyframes(self, followed: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Frames of the clip at which the second pass makes stills, and all at which it has one: the others
        are held, where chunks meet. `followed` says that another one goes on from this one."""
        every = tuple(TEMPORAL * seam for seam in seams(self.span.sampled))
        return every[:-1] if followed else every, ((0, *every) if self.starts_at_seam else every)

    def tiles(self, number: int) -> tuple[Tile, ...]:
        """Of a round."""
        return tiles(canvas_seams(self.span.sampled, number), 2**number, self.starts_at_seam)

    def parts(self, number: int) -> tuple[int, ...]:
        """Latents of what is upsampled into the canvas of a round, one after the other."""
        if number == 1:
            return (self.span.sampled,)
        return tuple(len(tile.span) - tile.ramp for tile in self.tiles(number - 1))

    def sources(self, number: int) -> Iterator[str]:
        """The tasks that make them."""
        if number == 1:
            yield task_id(self.video, self.chunk, Stage.UPSCALE)
        else:
            yield from (self.tile_id(number - 1, at) for at in range(len(self.tiles(number - 1))))

    def canvas_id(self, number: int) -> str:
        """`dawn/00003.r1/upscale`."""
        return f"{self.video}/{self.chunk:05d}.r{number}/{Stage.UPSCALE}"

    def tile_id(self, number: int, tile: int) -> str:
        """`dawn/00003.r1-t0/upscale`."""
        return f"{self.video}/{self.chunk:05d}.r{number}-t{tile}/{Stage.UPSCALE}"

    def shown(self, chain_start: int, wanted: Span) -> Iterator[tuple[str, Span]]:
        """The tiles of the last round that have some of the film's latents `wanted`, and which they have;
        the chunk's first latent is number `chain_start`."""
        last = self.numbers[-1]
        for at, tile in enumerate(self.tiles(last)):
            own = Span(tile.span.start + tile.ramp, tile.span.stop).shifted(chain_start)
            if own.start < wanted.stop and wanted.start < own.stop:
                yield self.tile_id(last, at), own


def decodes_of(video: PlannedVideo, chunk: PlannedChunk) -> tuple[str, ...]:
    """The tasks that decode a chunk, in the order of its frames: one, or of a film with temporal rounds
    `dawn/00003.w0/decode` and so on, one for each of its windows."""
    if video.temporal == 1:
        return (task_id(chunk.video, chunk.index, Stage.DECODE),)
    count = min(video.temporal, len(chunk.window.window))
    return tuple(f"{chunk.video}/{chunk.index:05d}.w{number}/{Stage.DECODE}" for number in range(count))


def first_slots(span: ChunkSpan) -> tuple[int, ...]:
    """Frames of a first pass's clip at which it makes stills: the seams of what it adds to the chain."""
    return tuple(TEMPORAL * (span.blend + seam) for seam in seams(span.sampled - span.blend))


def canvas_params(rounds: Rounds, number: int, second: PassParams) -> CanvasParams:
    """The canvas of a round, of the size of the second pass."""
    return CanvasParams(second.width, second.height, rounds.parts(number), rounds.starts_at_seam)


def guides_inside(guides: Sequence[PlannedGuide], tile: Tile, number: int) -> list[tuple[int, GuideUse]]:
    """Those of a second pass's guides whose frame a tile has, with their places among them: a round
    doubles the frames."""
    shown = tile.frames
    return [
        (at, GuideUse(frame - shown.start, guide.strength, guide.image_strength))
        for at, guide in enumerate(guides)
        if shown.start <= (frame := guide.frame << number) < shown.stop
    ]


def tile_params(
    rounds: Rounds, number: int, at: int, second: PassParams, chunk: PlannedChunk, guides: Sequence[GuideUse]
) -> TileParams:
    """Tile `at` of a round, beside the second pass whose clip is refined."""
    tile, played = rounds.tiles(number)[at], second.frame_rate * 2**number
    return TileParams(
        width=second.width,
        height=second.height,
        latents=2 * sum(rounds.parts(number)) - 1,
        tile=tile,
        frame_rate=seen_rate(played),
        heard=_heard(tile, chunk.span, second.frame_rate, played),
        guides=tuple(guides),
        sampling=round_sampling(second.sampling),
        seed=derive_seed(second.seed, "round", number, chunk.index_in_shot, at),
        attention_mode=second.attention_mode,
        ffn_chunks=second.ffn_chunks,
        loras=second.loras,
    )


def _heard(tile: Tile, span: ChunkSpan, frame_rate: float, played: float) -> HeardPart:
    """The sound is that of the first pass's clip, which begins with its overlap."""
    start_s = TEMPORAL * span.blend / frame_rate + tile.frames.start / played
    return HeardPart(span.artifact, frame_rate, start_s, len(tile.frames) / played)

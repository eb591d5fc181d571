"""Which latents a chunk decodes, and which frames of the film it owns: of the pass that is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import TYPE_CHECKING

from jobs.frames import (
    ChunkSpan,
    DecodeWindow,
    Joint,
    Span,
    decode_window,
    fade_frames,
    frames_of,
    frames_of_latents,
    lay_apart,
    owned_frames,
)
from jobs.planning.rounds.layout import in_time

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedChunk
    from jobs.spec.run import Decode


@dataclass(frozen=True, slots=True)
class Shown:
    """What is seen of a chunk; `owned` counts the shot's frames."""

    window: DecodeWindow
    owned: Span
    fade_frames: int


def shown_chain(chain: Sequence[ChunkSpan], joint: Joint | None, temporal: int = 1) -> Sequence[ChunkSpan]:
    """The chunks of a shot as they are decoded: those of the second pass, whose `joint` is None where there
    is none, in latents of a film with `temporal` times its frames."""
    return chain if joint in (None, "overlap") else in_time(lay_apart(chain), temporal)


def waits_for_none(span: ChunkSpan) -> ChunkSpan:
    """A chunk as `lay_apart` lays it."""
    return ChunkSpan(min(span.overlap, 1), span.new, span.stop)


def shown(
    chain: Sequence[ChunkSpan], k: int, joint: Joint | None, decode: Decode, meets: bool = False
) -> Shown:
    """What is seen of chunk `k` of a chain as `shown_chain` has it; `meets` says that its follower meets it
    in a held image.

    Where chunks share no latents, no fade would hide the edge of a window, and no chain has to wait: each is
    decoded with context on both sides.
    """
    if joint in (None, "overlap"):
        fade = fade_frames(chain, k) if decode.seam == "crossfade" else 0
        window = decode_window(chain, k, decode.context, "lag" if meets else decode.seam)
        return Shown(window, owned_frames(chain, k), fade)
    return Shown(decode_window(chain, k, decode.context, "lag"), owned_frames(chain, k), 0)


def decode_windows(chunk: PlannedChunk, temporal: int, context: int) -> tuple[DecodeWindow, ...]:
    """Those in which a chunk is decoded: its own, or where temporal rounds make `temporal` times as many
    frames, one for each time. So none is larger than without rounds."""
    return (chunk.window,) if temporal == 1 else windows(chunk.window, temporal, context)


def windows(whole: DecodeWindow, count: int, context: int) -> tuple[DecodeWindow, ...]:
    """A chunk's window as `count` of them, one after the other, or one for each latent where it has fewer: as
    even as it goes, the longer ones first.

    Each has `context` latents on both sides, as far as the whole has them, but one before it at least: the
    first latent of a clip gives one frame alone.
    """
    own = whole.window
    count = min(count, len(own))
    base, longer = divmod(len(own), count) if count else (0, 0)
    sizes = (base + (number < longer) for number in range(count))
    ends = accumulate(sizes, initial=own.start)
    return tuple(_inside(whole, Span(start, stop), context) for start, stop in pairwise(ends))


def _inside(whole: DecodeWindow, own: Span, context: int) -> DecodeWindow:
    start = max(whole.context.start, own.start - max(1, context))
    stop = min(whole.context.stop, own.stop + context)
    return DecodeWindow(Span(start, stop), own, frames_of_latents(own.shifted(-start)))


def shown_again(
    chunks: Sequence[PlannedChunk], joint: Joint | None, decode: Decode, temporal: int = 1
) -> Iterator[PlannedChunk]:
    """The chunks of a film whose second pass has that joint instead, and whose rounds make `temporal` times
    as many frames."""
    start = 0
    for _, shot in groupby(chunks, key=lambda chunk: chunk.shot):
        some = list(shot)
        chain = shown_chain([chunk.span for chunk in some], joint, temporal)
        met = [*(chunk.joint == "still" for chunk in some[1:]), False]
        for chunk, meets in zip(some, met, strict=True):
            seen = shown(chain, chunk.index_in_shot, joint, decode, meets)
            owned = seen.owned.shifted(start)
            yield replace(chunk, window=seen.window, owned=owned, fade_frames=seen.fade_frames)
        start += frames_of(chain[-1].stop)

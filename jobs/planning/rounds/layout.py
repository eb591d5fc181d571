"""Temporal rounds: where a clip divides into stretches, and each round's canvas into tiles. Pure.

A round doubles the frames of a chunk's clip: its canvas of T latents has 2 T - 1 afterwards. It is denoised
in tiles, which are cut at the ends of stretches, the seams: there both neighbours hold the same still, an
anchor, so no tile waits for another. What a tile makes besides its clip are stills in the middle of its
stretches, the keyframe slots; the next round has them as anchors.

The layout is that of `diffusers.pipelines.ltx2.dfr_layout` (0.42), but that stretches of two lengths stand
side by side where one alone would reach past the clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from jobs.frames import TEMPORAL, ChunkSpan, Span, lay_chain

LONG, SHORT = 4, 3
"""Latents of a stretch, 32 and 24 frames, as LTX-2.5 was trained."""

ANCHORED = 0.95
"""How strongly a tile holds its anchors (`ANCHOR_KEYFRAME_STRENGTH`)."""

ROUND_SIGMAS = (0.975, 0.909375, 0.725, 0.421875, 0.0)
"""Noise levels of a round (`TEMPORAL_ROUND_DISTILLED_SIGMA_VALUES`, and 0)."""

ROUND_ETA = 0.5
"""Share of fresh noise in each step of a round (`TEMPORAL_ANCESTRAL_ETA`)."""

SNAPPED_ABOVE, SNAPPED_RATE = 30.0, 60.0
"""Frames per second: a film that plays faster than the one is made as if it played at the other."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a canvas that is denoised on its own: the latents `span`, of which the first `ramp` are a
    run-up, which shows what the tile before it owns. `anchors` and `slots` are frames of the tile; anchors
    are the stills `carried` of those that the canvas has, by their number."""

    span: Span
    ramp: int
    anchors: tuple[int, ...]
    slots: tuple[int, ...]
    carried: Span

    @property
    def first_slot(self) -> int:
        """Number of the first slot behind the run-up: those before it are the earlier tile's."""
        return sum(slot < TEMPORAL * (self.ramp - 1) for slot in self.slots)

    @property
    def frames(self) -> Span:
        """Frames of the canvas that the tile shows, from the one frame of its latent 0."""
        return Span(TEMPORAL * self.span.start, TEMPORAL * (self.span.stop - 1) + 1)


def seams(latents: int) -> tuple[int, ...]:
    """Ends of the stretches of a clip of `latents`, counted in latents; the last is its last latent.

    One length for all where it fits, the longer one before the shorter; else long ones and behind them short
    ones. A clip of 2, 3 or 6 latents, for which there are none of both, is divided as evenly as it goes.
    """
    return tuple(accumulate(_stretches(latents - 1)))


def _stretches(length: int) -> tuple[int, ...]:
    if length < SHORT:
        return (length,) if length > 0 else ()
    if length % LONG and length % SHORT == 0:
        return (SHORT,) * (length // SHORT)
    for long in range(length // LONG, -1, -1):
        short, rest = divmod(length - LONG * long, SHORT)
        if rest == 0:
            return (LONG,) * long + (SHORT,) * short
    return SHORT, length - SHORT


def canvas_seams(latents: int, number: int) -> tuple[int, ...]:
    """Seams of the canvas of round `number`, from 1, of a clip of `latents`, in its own latents. From the
    second round on there is one in the middle of each stretch, too: where the round before had a slot.
    """
    found = tuple(2 * seam for seam in seams(latents))
    for _ in range(1, number):
        edges = (0, *found)
        found = tuple(seam for left, right in pairwise(edges) for seam in (left + right, 2 * right))
    return found


def canvas_latents(latents: int, number: int) -> int:
    """Latents of the canvas of round `number` of a clip of `latents`; of round 0, the clip itself."""
    return (latents - 1 << number) + 1


def rounds_of(temporal: int) -> range:
    """The numbers of the rounds after which a film has `temporal` times as many frames."""
    return range(1, temporal.bit_length())


def in_time(chain: Sequence[ChunkSpan], temporal: int) -> tuple[ChunkSpan, ...]:
    """A chain whose chunks wait for none (`lay_apart`), in latents of the film with `temporal` times as many
    frames: what a latent behind the shot's first one was is `temporal` of them."""
    steps = [(span.overlap, temporal * span.new) for span in chain]
    return lay_chain([(0, temporal * (chain[0].new - 1) + 1), *steps[1:]])


def tiles(seams: Sequence[int], count: int, starts_at_seam: bool) -> tuple[Tile, ...]:
    """The tiles of a canvas whose `seams`, in its own latents, end at its last one: `count` of them, or one
    for each stretch where there are fewer. The leading ones have one more where they do not divide evenly.

    Each but the first begins at the seam before the one that it resumes after. `starts_at_seam` says that
    the canvas carries a still at its frame 0, too.
    """
    edges = (0, *seams)
    return tuple(_tile(edges, first, last, starts_at_seam) for first, last in _dealt(len(seams), count))


def _dealt(stretches: int, count: int) -> Iterator[tuple[int, int]]:
    """First and last edge of what each tile owns."""
    count = min(count, stretches)
    base, more = divmod(stretches, count) if count else (0, 0)
    ends = accumulate(base + (number < more) for number in range(count))
    return pairwise([0, *ends])


def _tile(edges: Sequence[int], first: int, last: int, starts_at_seam: bool) -> Tile:
    begin = max(0, first - 1)
    start, ramp = edges[begin], edges[first] + 1 - edges[begin] if first else 0
    held = range(begin if begin or starts_at_seam else 1, last + 1)
    shift = 0 if starts_at_seam else 1
    own = edges[begin : last + 1]
    return Tile(
        span=Span(start, edges[last] + 1),
        ramp=ramp,
        anchors=tuple(TEMPORAL * (edges[edge] - start) for edge in held),
        slots=tuple(TEMPORAL * (left + right - 2 * start) // 2 for left, right in pairwise(own)),
        carried=Span(held.start - shift, held.stop - shift),
    )


def seen_rate(frame_rate: float) -> float:
    """Frames per second that the transformer sees of a clip that plays at `frame_rate`."""
    return SNAPPED_RATE if frame_rate > SNAPPED_ABOVE else frame_rate

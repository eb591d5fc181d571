"""What a chunk's second pass is made of, by what it shares with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from jobs.frames import TEMPORAL, ChunkSpan, Joint, Span, informed, still_window
from jobs.planning.params import Excerpt
from jobs.planning.planned import PlannedGuide
from jobs.planning.windows import waits_for_none

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedChunk
    from jobs.planning.sampling import Sampling


@dataclass(frozen=True, slots=True)
class SecondClip:
    """The clip of a second pass: `sources` are the chunks of the shot whose first pass it is made over,
    `replaced` latents of the chain's end do not guide it."""

    span: ChunkSpan
    sources: range
    guides: tuple[PlannedGuide, ...]
    excerpt: Excerpt | None = None
    replaced: int = 0


def second_clip(shot: Sequence[PlannedChunk], k: int, joint: Joint, sampling: Sampling) -> SecondClip:
    """The clip of chunk `k` of a shot. A pass that only upsamples has nothing to hold."""
    chunk = shot[k]
    guides = chunk.guides if sampling.denoises else ()
    if joint == "overlap":
        return SecondClip(chunk.span, range(k, k + 1), guides, replaced=_replaced(shot, k, sampling))
    chain = [each.span for each in shot]
    span = waits_for_none(chunk.span)
    stills = _stills(shot, k) if joint == "still" and sampling.denoises else ()
    wanted = [span.artifact, *map(still_window, stills)]
    seen = Span(min(each.start for each in wanted), max(each.stop for each in wanted))
    sources = _settled_chunks(chain, k, seen) if joint == "still" else range(k, k + 1)
    excerpt = Excerpt(tuple(chain[source].artifact for source in sources), sources.index(k), stills)
    return SecondClip(span, sources, _inside(guides, chunk.span, span, stills), excerpt)


def second_sound(
    sound: Literal["condition", "generate"] | None, joint: Joint
) -> Literal["generate", "hold"] | None:
    """Sound is made anew where its chunks are chained: nothing else would join their sounds."""
    if sound is None:
        return None
    return "generate" if sound == "generate" and joint == "overlap" else "hold"


def _replaced(shot: Sequence[PlannedChunk], k: int, sampling: Sampling) -> int:
    """Real material, and what is upsampled alone, is as good at its end as anywhere."""
    overlap = shot[k].span.overlap
    made_up = overlap > 0 and shot[k - 1].kind != "source" and sampling.denoises
    return overlap - informed(overlap) if made_up else 0


def _stills(shot: Sequence[PlannedChunk], k: int) -> tuple[int, ...]:
    """The last latents of the chunk before and of chunk `k`, where one goes on from the other: what the first
    pass holds at its joints is sharper."""
    ends = [end for end in (k - 1, k) if end >= 0 and end + 1 < len(shot) and shot[end + 1].continues]
    return tuple(shot[end].span.stop - 1 for end in ends)


def _inside(
    guides: Sequence[PlannedGuide], first: ChunkSpan, second: ChunkSpan, stills: Sequence[int]
) -> tuple[PlannedGuide, ...]:
    """The guides at their frames of the shorter clip, but for what the chunk before shows, or a still."""
    earlier = TEMPORAL * (first.sampled - second.sampled)
    held = {TEMPORAL * (latent - second.artifact.start) for latent in stills}
    moved = (replace(guide, frame=guide.frame - earlier) for guide in guides)
    return tuple(guide for guide in moved if guide.frame >= 0 and guide.frame not in held)


def _settled_chunks(chain: Sequence[ChunkSpan], k: int, wanted: Span) -> range:
    """Chunks whose artifacts, later ones over earlier ones, hold the latents `wanted`, chunk `k` among them,
    as they are when the whole chain is sampled."""
    first = last = k
    while chain[first].artifact.start > wanted.start:
        first -= 1
    while last + 1 < len(chain) and chain[last + 1].window.start < wanted.stop:
        last += 1
    return range(first, last + 1)

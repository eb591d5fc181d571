"""Frame arithmetic: the only place that counts latents, frames and audio samples.

LTX compresses 8x in time and 32x in space. A latent clip of T frames decodes to 8(T-1)+1 frames: latent 0
is one frame, latent i >= 1 is the frames 8i-7 .. 8i. Every interval is half-open `[start, stop)` and counts
latents, unless its name says frames. A chain is the latents of one shot, counted from the shot's first one;
frames are counted from the shot's first frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal

TEMPORAL = 8
SPATIAL = 32
LATENT_CHANNELS = 128
"""Of every LTX video VAE."""
NTSC_RATES = (24, 30, 48, 60, 96, 120, 240)

LEAST_WINDOW = 10
"""Latents of 80 frames: shorter clips are below what LTX models were trained on."""

Seam = Literal["crossfade", "lag"]
Joint = Literal["still", "overlap", "none"]
"""What two neighbouring chunks of a second pass share: a held frame, the chain's end, nothing."""

STILL_BEFORE, STILL_AFTER = 4, 1
"""Latents around that of a still which are upsampled and decoded with it."""


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open interval `[start, stop)`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def shifted(self, offset: int) -> Span:
        """The interval moved by `offset`."""
        return Span(self.start + offset, self.stop + offset)

    def covers(self, other: Span) -> bool:
        """True when every index of `other` is inside."""
        return self.start <= other.start and other.stop <= self.stop


def latents_of(num_frames: int) -> int:
    """Latents of a clip of `num_frames` = 8k+1 frames."""
    return (num_frames - 1) // TEMPORAL + 1


def frames_of(latents: int) -> int:
    """Frames that a clip of `latents` decodes to: 8(T-1)+1, and none for none."""
    return max(0, TEMPORAL * (latents - 1) + 1)


def frames_of_latents(span: Span) -> Span:
    """Frames of the latents [s, e): [max(0, 8s-7), 8(e-1)+1)."""
    return Span(max(0, TEMPORAL * span.start - TEMPORAL + 1), frames_of(span.stop))


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """One chunk in its chain, in latents.

    `overlap` latents of the chain guide the chunk (0 for a generate or a source), `new` latents are added
    (all of them for a generate or a source), `stop` is the chain's length afterwards.
    """

    overlap: int
    new: int
    stop: int

    @property
    def blend(self) -> int:
        """Latents blended with the chain: the overlap without slot 0, which is dropped."""
        return max(self.overlap - 1, 0)

    @property
    def sampled(self) -> int:
        """Latents of the clip that the sampler makes, slot 0 included."""
        return self.overlap + self.new

    @property
    def artifact(self) -> Span:
        """What the committed artifact holds: the chain as it stands after this chunk on these latents."""
        return Span(self.stop - self.sampled, self.stop)

    @property
    def window(self) -> Span:
        """What this chunk changes or adds: blended and new latents."""
        return Span(self.stop - self.new - self.blend, self.stop)

    @property
    def sampled_frames(self) -> Span:
        """Frames that the sampled clip shows, slot 0 as the last frame of its latent."""
        start = self.stop - self.sampled
        return Span(TEMPORAL * start, frames_of(self.stop))


def lay_chain(steps: Sequence[tuple[int, int]]) -> tuple[ChunkSpan, ...]:
    """Lay (overlap, new) latents end to end.

    Raises ValueError when an overlap reaches past what the chunk before it added.
    """
    chain: list[ChunkSpan] = []
    for overlap, new in steps:
        limit = longest_overlap(chain[-1]) if chain else 0
        if overlap > limit:
            raise ValueError(f"overlap of {overlap} latents exceeds {limit}: shorten the overlap")
        stop = (chain[-1].stop if chain else 0) + new
        chain.append(ChunkSpan(overlap, new, stop))
    return tuple(chain)


def lay_apart(chain: Sequence[ChunkSpan]) -> tuple[ChunkSpan, ...]:
    """The chunks of a chain where none waits for another: slot 0 is that before, nothing blends."""
    return lay_chain([(min(span.overlap, 1), span.new) for span in chain])


def still_window(latent: int) -> Span:
    """The latents from which the last frame of `latent` is made; the chain has to go on behind it."""
    return Span(max(0, latent - STILL_BEFORE), latent + 1 + STILL_AFTER)


def lay_windows(length: int, overlap: int, new: int) -> tuple[ChunkSpan, ...]:
    """A chain of `length` latents of unknown history, laid as if all its chunks were like the last one.

    No window adds fewer than `LEAST_WINDOW` latents, but for the first, which adds what is left: from half to
    one and a half times what the others add.
    """
    step = max(new, LEAST_WINDOW)
    behind = min(overlap, step)
    followers = max(0, -((3 * step - 2 * length) // (2 * step)))
    if followers and length - followers * step < behind:
        followers -= 1
    return lay_chain([(0, length - followers * step), *[(behind, step)] * followers])


def longest_overlap(previous: ChunkSpan) -> int:
    """Longest legal overlap after `previous`: its blend may not exceed what that chunk added.

    A first chunk adds T latents of which latent 0 is never blended.
    """
    return previous.new if previous.stop == previous.new else previous.new + 1


@dataclass(frozen=True, slots=True)
class DecodeWindow:
    """Latents `context` of the chain go through the VAE; of those, `window` is kept.

    `keep` are the frames of the decoded clip, counted from the clip's first frame, that show `window`.
    """

    context: Span
    window: Span
    keep: Span


def decode_window(
    chain: Sequence[ChunkSpan], k: int, context: int = 4, seam: Seam = "crossfade"
) -> DecodeWindow:
    """Decode window of chunk `k` with `context` latents on each side that has any.

    With "crossfade" there is no right context: the chunk decodes its own unblended tail. With "lag" the
    tail that chunk k+1 blends is left to that chunk, and there is right context where the chain goes on.
    """
    span = chain[k]
    follower = chain[k + 1] if seam == "lag" and k + 1 < len(chain) else None
    window = Span(span.window.start, span.stop - (follower.blend if follower else 0))
    start = max(0, window.start - context)
    stop = min(window.stop + context, follower.stop) if follower else window.stop
    return DecodeWindow(Span(start, stop), window, _kept_frames(start, window))


def _kept_frames(context_start: int, window: Span) -> Span:
    if not window:
        return Span(0, 0)
    return frames_of_latents(window.shifted(-context_start))


def context_chunks(chain: Sequence[ChunkSpan], k: int, window: DecodeWindow) -> range:
    """Chunks whose artifacts, later ones over earlier ones, cover `window.context`."""
    first = k
    while chain[first].artifact.start > window.context.start:
        first -= 1
    return range(first, k + 2 if window.context.stop > window.window.stop else k + 1)


def _next_blend(chain: Sequence[ChunkSpan], k: int) -> int:
    return chain[k + 1].blend if k + 1 < len(chain) else 0


def owned_frames(chain: Sequence[ChunkSpan], k: int) -> Span:
    """Frames of the shot that chunk `k` delivers: up to 8(E_k - b_{k+1} - 1) + 1."""
    start = frames_of(chain[k - 1].stop - chain[k].blend) if k else 0
    return Span(start, frames_of(chain[k].stop - _next_blend(chain, k)))


def fade_frames(chain: Sequence[ChunkSpan], k: int) -> int:
    """Frames at the head of chunk `k` that are cross-faded with the tail of chunk k-1: 8 b_k."""
    return TEMPORAL * chain[k].blend


def blend_weights(blend: int) -> tuple[float, ...]:
    """Weight of the new latent for each of `blend` latents: (i+1)/(b+1)."""
    return tuple((i + 1) / (blend + 1) for i in range(blend))


def informed(overlap: int) -> int:
    """How many of a re-sampled chain's last `overlap` latents guide the next chunk's re-sampling: all but the
    very last; an only one stays.

    The last one was re-sampled at the end of its clip, without seeing what follows: a bounce that has just
    begun is lost there. The next clip, which knows better, makes it again.
    """
    return max(1, overlap - 1)


def takeover_weights(blend: int) -> tuple[float, ...]:
    """Weight of the re-sampled latent for each of `blend` latents: (i+1)/b. The last one, which is not
    `informed`, is replaced whole."""
    return tuple((i + 1) / blend for i in range(blend))


def middle_frame(num_frames: int) -> int:
    """Frame that a middle image guides: the last frame of the middle latent, 8 floor((T-1)/2)."""
    return TEMPORAL * ((latents_of(num_frames) - 1) // 2)


def exact_rate(frame_rate: float) -> Fraction:
    """The rate that `frame_rate` spells: 23.976 is 24000/1001, 12.5 is 25/2, 33.333 is 33333/1000."""
    for nominal in NTSC_RATES:
        ntsc = Fraction(nominal * 1000, 1001)
        if abs(frame_rate - ntsc) < nominal / 5000:
            return ntsc
    return Fraction(frame_rate).limit_denominator(1000)


def audio_sample(frame: int, audio_rate: int, frame_rate: float) -> int:
    """Sample at which absolute frame `frame` starts: round(f * audio_rate / frame_rate), half up."""
    exact = Fraction(frame) * audio_rate / exact_rate(frame_rate)
    return int(exact + Fraction(1, 2))


def first_sample(frame: int, delay_s: float, audio_rate: int, frame_rate: float) -> int:
    """Sample of a sound heard at absolute frame `frame` of pictures that it follows `delay_s` behind."""
    return audio_sample(frame, audio_rate, frame_rate) - floor(
        Fraction(delay_s) * audio_rate + Fraction(1, 2)
    )


def snapped_latents(seconds: float, frame_rate: float) -> int:
    """Latents of the clip of 8k + 1 frames that lasts nearest to `seconds`; two at least."""
    return max(1, _nearest((_frame_at(seconds, frame_rate) - 1) / TEMPORAL)) + 1


def snapped_joint(seconds: float, frame_rate: float) -> int:
    """The latent whose last frame is shown nearest to a time; latent 0 is frame 0."""
    return max(0, _nearest(_frame_at(seconds, frame_rate) / TEMPORAL))


def latent_before(seconds: float, frame_rate: float) -> int:
    """The latent behind which the one begins whose first frame is shown nearest to a time."""
    return max(0, _nearest((_frame_at(seconds, frame_rate) - 1) / TEMPORAL))


def nearest_frame(seconds: float, frame_rate: float) -> int:
    """The frame that is shown nearest to a time."""
    return _nearest(_frame_at(seconds, frame_rate))


def _frame_at(seconds: float, frame_rate: float) -> Fraction:
    return Fraction(seconds) * exact_rate(frame_rate)


def _nearest(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def conformed_frames(frames: int, source_rate: float, frame_rate: float) -> int:
    """Frames of a clip of `frames` at `source_rate`, shown for the same time at `frame_rate`."""
    return int(frames * exact_rate(frame_rate) / exact_rate(source_rate) + Fraction(1, 1000))


def frames_within(seconds: Fraction, frame_rate: float) -> int:
    """Whole frames at `frame_rate` in a running time, which was added up from rounded ones."""
    return int(seconds * exact_rate(frame_rate) + Fraction(1, 50))


def source_frame(frame: int, source_rate: float, frame_rate: float) -> int:
    """Frame of the source that frame `frame` of the conformed clip shows: the one on screen at its start."""
    return int(frame * exact_rate(source_rate) / exact_rate(frame_rate) + Fraction(1, 1000))

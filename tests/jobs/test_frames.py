"""Frame arithmetic against a chain that is really built, latent by latent."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.frames import (
    LEAST_WINDOW,
    ChunkSpan,
    Seam,
    Span,
    audio_sample,
    blend_weights,
    conformed_frames,
    context_chunks,
    decode_window,
    exact_rate,
    fade_frames,
    first_sample,
    frames_of,
    frames_of_latents,
    frames_within,
    informed,
    latents_of,
    lay_chain,
    lay_windows,
    longest_overlap,
    middle_frame,
    owned_frames,
    source_frame,
    takeover_weights,
)

Latent = tuple[object, ...]


@st.composite
def chains(draw: st.DrawFn) -> tuple[ChunkSpan, ...]:
    """Legal chains: every overlap fits what the chunk before added."""
    chain = lay_chain([(0, draw(st.integers(1, 14)))])
    steps = [(0, chain[0].new)]
    for _ in range(draw(st.integers(0, 6))):
        steps.append((draw(st.integers(1, longest_overlap(chain[-1]))), draw(st.integers(1, 12))))
        chain = lay_chain(steps)
    return chain


def built(chain: tuple[ChunkSpan, ...]) -> list[list[Latent]]:
    """The chain after every chunk: chain[:T-b] + blended(b) + new(n), written down literally."""
    now: list[Latent] = [("new", 0, i) for i in range(chain[0].new)]
    states = [now]
    for k, span in enumerate(chain[1:], 1):
        cut = len(now) - span.blend
        blended: list[Latent] = [("blend", k, i, old) for i, old in enumerate(now[cut:])]
        now = now[:cut] + blended + [("new", k, i) for i in range(span.new)]
        states.append(now)
    return states


def artifacts(chain: tuple[ChunkSpan, ...], states: list[list[Latent]]) -> list[list[Latent]]:
    return [
        state[span.artifact.start : span.artifact.stop] for span, state in zip(chain, states, strict=True)
    ]


def gathered(chain: tuple[ChunkSpan, ...], sources: range, wanted: Span) -> list[Latent]:
    """`wanted` from the artifacts of `sources`, later ones over earlier ones."""
    parts = artifacts(chain, built(chain))
    found: dict[int, Latent] = {}
    for k in sources:
        found.update(zip(range(chain[k].artifact.start, chain[k].artifact.stop), parts[k], strict=True))
    return [found[index] for index in range(wanted.start, wanted.stop)]


@given(chains())
def test_the_chain_grows_as_the_formula_says(chain: tuple[ChunkSpan, ...]) -> None:
    for k, (span, state) in enumerate(zip(chain, built(chain), strict=True)):
        assert span.stop == len(state)
        assert len(span.artifact) == span.sampled == span.overlap + span.new
        assert len(span.window) == span.new + span.blend
        if k:
            assert frames_of(span.stop) - frames_of(chain[k - 1].stop) == 8 * span.new


@given(chains())
def test_every_overlap_is_the_tail_of_one_artifact(chain: tuple[ChunkSpan, ...]) -> None:
    for span, artifact in zip(chain, artifacts(chain, built(chain)), strict=True):
        assert longest_overlap(span) <= len(artifact)


@given(chains(), st.sampled_from(["crossfade", "lag"]), st.integers(1, 9))
def test_windows_hold_final_latents_in_their_context(
    chain: tuple[ChunkSpan, ...], seam: Seam, context: int
) -> None:
    states = built(chain)
    for k in range(len(chain)):
        window = decode_window(chain, k, context, seam)
        sources = context_chunks(chain, k, window)
        clip = gathered(chain, sources, window.context)
        state = states[min(k + 1, len(chain) - 1)] if sources.stop > k + 1 else states[k]
        assert clip == state[window.context.start : window.context.stop]
        left = slice(window.context.start, window.window.start)
        assert states[-1][left] == clip[: len(range(*left.indices(len(states[-1]))))]


@given(chains(), st.integers(1, 9))
def test_lagging_windows_are_final_and_meet_without_overlap(
    chain: tuple[ChunkSpan, ...], context: int
) -> None:
    states, position = built(chain), 0
    for k in range(len(chain)):
        window = decode_window(chain, k, context, "lag")
        clip = gathered(chain, context_chunks(chain, k, window), window.context)
        inside = slice(window.window.start - window.context.start, window.window.stop - window.context.start)
        assert clip[inside] == states[-1][window.window.start : window.window.stop]
        assert window.window.start == position
        position = window.window.stop
        assert frames_of_latents(window.window) == owned_frames(chain, k) or not window.window
    assert position == chain[-1].stop


@given(chains(), st.integers(1, 9))
def test_kept_frames_are_those_of_the_window(chain: tuple[ChunkSpan, ...], context: int) -> None:
    for k, span in enumerate(chain):
        window = decode_window(chain, k, context)
        start = window.context.start
        assert window.window == span.window
        assert (start == 0) == (window.window.start <= context)
        frames = frames_of_latents(window.window)
        assert len(window.keep) == len(frames)
        offset = 8 * start
        assert window.keep.shifted(offset) == frames
        assert window.keep.stop <= frames_of(len(window.context))


@given(chains())
def test_every_frame_is_owned_once(chain: tuple[ChunkSpan, ...]) -> None:
    position = 0
    for k in range(len(chain)):
        owned = owned_frames(chain, k)
        assert owned.start == position
        assert frames_of_latents(chain[k].window).covers(owned)
        position = owned.stop
    assert position == frames_of(chain[-1].stop)


@given(chains())
def test_fades_lie_inside_what_both_chunks_decode(chain: tuple[ChunkSpan, ...]) -> None:
    for k in range(1, len(chain)):
        owned, frames = owned_frames(chain, k), fade_frames(chain, k)
        fade = Span(owned.start, owned.start + frames)
        assert owned.covers(fade)
        assert frames_of_latents(chain[k].window).covers(fade)
        assert frames_of_latents(chain[k - 1].window).covers(fade)
        assert frames_of_latents(chain[k - 1].window).stop == fade.stop


@given(chains(), st.integers(1, 9), st.integers(0, 9))
def test_windows_reach_no_further_back_than_their_context(
    chain: tuple[ChunkSpan, ...], context: int, more: int
) -> None:
    """A chain that goes on changes no window before its last chunk."""
    for k in range(len(chain) - 1):
        assert decode_window(chain[: k + 1], k, context) == decode_window(chain, k, context)
    wide = decode_window(chain, len(chain) - 1, context + more)
    assert wide.context.covers(decode_window(chain, len(chain) - 1, context).context)


def test_the_numbers_of_a_usual_film() -> None:
    chain = lay_chain([(0, 13), (2, 10), (2, 10)])
    assert [span.stop for span in chain] == [13, 23, 33]
    assert [owned_frames(chain, k) for k in range(3)] == [Span(0, 89), Span(89, 169), Span(169, 257)]
    assert fade_frames(chain, 1) == 8
    assert decode_window(chain, 1).context == Span(8, 23)
    assert decode_window(chain, 1).keep == Span(25, 113)
    assert chain[1].artifact == Span(11, 23)
    assert chain[1].sampled_frames == Span(88, 177)


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 30))
def test_a_chain_of_unknown_history_is_laid_in_windows(before: int, overlap: int, new: int) -> None:
    length = before + new
    windows = lay_windows(length, overlap, new)
    step = max(new, LEAST_WINDOW)
    assert windows[-1].stop == length
    assert {window.new for window in windows[1:]} <= {step}
    assert {window.overlap for window in windows[1:]} <= {min(overlap, step)}
    assert all(one.stop == other.window.start + other.blend for one, other in pairwise(windows))
    assert windows[0].stop <= (1.5 if min(overlap, step) <= step / 2 else 2.5) * step
    if len(windows) > 1:
        assert windows[0].stop >= max(windows[1].overlap, step / 2)


def test_windows_are_the_chunks_of_the_usual_film() -> None:
    usual = lay_chain([(0, 13), *[(2, 10)] * 10])
    assert lay_windows(usual[-1].stop, 2, 10) == usual
    assert lay_windows(13, 2, 10) == lay_chain([(0, 13)])


def test_an_overlap_longer_than_what_was_added_is_refused() -> None:
    with pytest.raises(ValueError, match="shorten the overlap"):
        lay_chain([(0, 13), (2, 4), (6, 10)])
    assert lay_chain([(0, 13), (2, 4), (5, 10)])[2].blend == 4
    assert lay_chain([(0, 13), (13, 4)])[1].blend == 12


def test_no_latents_show_no_frames() -> None:
    assert frames_of(0) == 0
    window = decode_window(lay_chain([(0, 4), (1, 2), (3, 4)]), 1, seam="lag")
    assert (len(window.window), window.keep) == (0, Span(0, 0))


@given(st.integers(0, 1000))
def test_latents_and_frames_are_inverse(k: int) -> None:
    frames = 8 * k + 1
    assert frames_of(latents_of(frames)) == frames


@given(st.integers(0, 200), st.integers(1, 200))
def test_latents_show_eight_frames_but_the_first(start: int, length: int) -> None:
    frames = frames_of_latents(Span(start, start + length))
    assert len(frames) == (8 * (length - 1) + 1 if start == 0 else 8 * length)


def test_weights_rise_from_old_to_new() -> None:
    assert blend_weights(1) == (0.5,)
    assert blend_weights(3) == (0.25, 0.5, 0.75)
    assert blend_weights(0) == ()


def test_a_resampled_chain_end_gives_way() -> None:
    assert takeover_weights(1) == (1.0,)
    assert takeover_weights(4) == (0.25, 0.5, 0.75, 1.0)
    assert takeover_weights(0) == ()
    assert [informed(overlap) for overlap in (1, 2, 3, 5)] == [1, 1, 2, 4]


@pytest.mark.parametrize(("frames", "middle"), [(97, 48), (105, 48), (9, 0), (17, 8), (113, 56)])
def test_the_middle_frame_ends_the_middle_latent(frames: int, middle: int) -> None:
    assert middle_frame(frames) == middle


@given(st.integers(0, 10**7), st.sampled_from([24.0, 23.976, 25.0, 29.97, 30.0, 59.94, 12.5]))
def test_audio_samples_never_drift(frame: int, rate: float) -> None:
    exact = Fraction(frame) * 48000 / exact_rate(rate)
    assert abs(audio_sample(frame, 48000, rate) - exact) <= Fraction(1, 2)
    assert audio_sample(frame + 1, 48000, rate) > audio_sample(frame, 48000, rate)


def test_ntsc_rates_are_exact() -> None:
    assert exact_rate(23.976) == exact_rate(24000 / 1001) == Fraction(24000, 1001)
    assert exact_rate(25.0) == 25
    for base in (23.976, 24000 / 1001, 24.0, 25.0, 29.97, 30.0, 12.5):
        assert [exact_rate(base * times) for times in (2, 4)] == [2 * exact_rate(base), 4 * exact_rate(base)]
    for nominal in (24, 30, 48, 60, 120, 240):
        assert exact_rate(round(nominal / 1.001, 3)) == Fraction(nominal * 1000, 1001)
        assert exact_rate(nominal) == nominal
    assert audio_sample(24000, 48000, 23.976) == 48000 * 1001


@given(st.integers(1, 5000), st.sampled_from([24.0, 25.0, 29.97, 30.0, 50.0]), st.sampled_from([24.0, 25.0]))
def test_conforming_takes_only_frames_that_exist(frames: int, source: float, target: float) -> None:
    count = conformed_frames(frames, source, target)
    assert abs(count / target - frames / source) <= 1.01 / target
    if count:
        assert 0 <= source_frame(count - 1, source, target) < frames
    assert conformed_frames(frames, target, target) == frames


@pytest.mark.parametrize("rate", [24.0, 25.0, 29.97, 60.0])
def test_a_clip_at_its_own_rate_shows_every_frame_once(rate: float) -> None:
    assert [source_frame(frame, rate, rate) for frame in range(100)] == list(range(100))
    assert [source_frame(frame, rate, 2 * rate) for frame in range(6)] == [0, 0, 1, 1, 2, 2]


def test_sound_that_follows_its_pictures_is_read_from_further_back() -> None:
    assert first_sample(24, 0.0, 48000, 24.0) == 48000
    assert first_sample(24, 0.25, 48000, 24.0) == 36000
    assert first_sample(0, 0.25, 48000, 24.0) == -12000
    assert first_sample(0, -0.25, 48000, 24.0) == 12000
    assert first_sample(0, 0.25, 2, 24.0) == -1, "half a sample counts as a whole one"


def test_a_running_time_holds_whole_frames_and_forgives_its_rounding() -> None:
    assert frames_within(Fraction(4), 24.0) == 96
    assert frames_within(Fraction(3999, 1000), 24.0) == 95
    assert frames_within(Fraction(39995, 10000), 24.0) == 96

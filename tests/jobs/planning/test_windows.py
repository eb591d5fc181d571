"""The window of a chunk, cut into several."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jobs.frames import Span, decode_window, frames_of_latents, lay_chain
from jobs.planning.windows import windows

LATENTS, CONTEXTS, COUNTS = st.integers(1, 40), st.integers(0, 8), st.sampled_from([1, 2, 4])


@given(st.lists(LATENTS, min_size=1, max_size=4), CONTEXTS, COUNTS)
def test_every_frame_is_shown_once(sizes: list[int], context: int, count: int) -> None:
    """In a chain of chunks that meet in a still."""
    chain = lay_chain([(min(k, 1), new) for k, new in enumerate(sizes)])
    for k in range(len(chain)):
        whole = decode_window(chain, k, max(1, context), "lag")
        found = windows(whole, count, context)
        assert len(found) == min(count, len(whole.window))
        shown = [
            frame + 8 * each.context.start
            for each in found
            for frame in range(each.keep.start, each.keep.stop)
        ]
        frames = frames_of_latents(whole.window)
        assert shown == list(range(frames.start, frames.stop))


@given(LATENTS, LATENTS, CONTEXTS, COUNTS)
def test_windows_are_even_and_stay_inside(before: int, latents: int, context: int, count: int) -> None:
    chain = lay_chain([(0, before), (1, latents), (1, 3)])
    whole = decode_window(chain, 1, max(1, context), "lag")
    found = windows(whole, count, context)
    sizes = [len(each.window) for each in found]
    assert max(sizes) - min(sizes) <= 1
    assert all(one.window.stop == other.window.start for one, other in pairwise(found))
    for each in found:
        assert whole.context.covers(each.context)
        assert each.window.start - each.context.start in (
            max(1, context),
            each.window.start - whole.context.start,
        )
        assert each.context.stop - each.window.stop in (context, whole.context.stop - each.window.stop)


def test_one_window_is_the_whole_and_none_has_none() -> None:
    chain = lay_chain([(0, 13), (1, 10), (1, 10)])
    for k in range(3):
        whole = decode_window(chain, k, 4, "lag")
        assert windows(whole, 1, 4) == (whole,)
    nothing = Span(0, 0)
    assert windows(type(whole)(nothing, nothing, nothing), 4, 4) == ()


def test_the_first_latent_of_a_film_is_in_the_longer_window() -> None:
    whole = decode_window(lay_chain([(0, 4 * 12 + 1), (1, 8)]), 0, 4, "lag")
    found = windows(whole, 4, 4)
    assert [len(each.window) for each in found] == [13, 12, 12, 12]
    assert [(each.context.start, each.context.stop) for each in found] == [
        (0, 17),
        (9, 29),
        (21, 41),
        (33, 53),
    ]
    assert [len(each.keep) for each in found] == [97, 96, 96, 96]

"""Stretches and tiles of temporal rounds, beside the layout of diffusers."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.frames import Span, frames_of
from jobs.planning.rounds.layout import (
    LONG,
    SHORT,
    Tile,
    canvas_latents,
    canvas_seams,
    seams,
    seen_rate,
    tiles,
)


@pytest.fixture(scope="module")
def layout() -> ModuleType:
    module: ModuleType = pytest.importorskip("diffusers.pipelines.ltx2.dfr_layout")
    return module


CLIPS = st.integers(2, 120)
UNIFORM = CLIPS.filter(lambda latents: (latents - 1) % LONG == 0 or (latents - 1) % SHORT == 0)
ROUNDS = st.integers(1, 2)


@given(CLIPS)
def test_stretches_cover_the_clip_and_no_more(latents: int) -> None:
    found = seams(latents)
    lengths = [right - left for left, right in pairwise((0, *found))]
    assert found[-1] == latents - 1
    if latents not in (2, 3, 6):
        assert set(lengths) <= {LONG, SHORT}
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("latents", "expected"),
    [(1, ()), (2, (1,)), (3, (2,)), (4, (3,)), (6, (3, 5)), (7, (3, 6)), (8, (4, 7)), (13, (4, 8, 12))],
)
def test_stretches_of_short_clips(latents: int, expected: tuple[int, ...]) -> None:
    assert seams(latents) == expected


@given(UNIFORM)
def test_stretches_are_those_of_the_reference_where_one_length_fits(layout: ModuleType, latents: int) -> None:
    padded, _, positions = layout.resolve_canvas(frames_of(latents))
    assert padded == frames_of(latents)
    assert [8 * seam for seam in seams(latents)] == positions


@given(UNIFORM, ROUNDS)
def test_tiles_are_those_of_the_reference_where_one_length_fits(
    layout: ModuleType, latents: int, number: int
) -> None:
    here = canvas_seams(latents, number)
    frames = frames_of(canvas_latents(latents, number))
    wanted = layout.temporal_tile_plan([8 * seam for seam in here], frames, 2**number)
    found = tiles(here, 2**number, starts_at_seam=False)
    assert len(found) == len(wanted)
    for tile, other in zip(found, wanted, strict=True):
        assert tile.span == Span(other.interval.start, other.interval.end)
        assert tile.ramp == other.interval.left_ramp
        assert [frame + other.pixel_start for frame in tile.anchors] == list(other.anchors)
        assert [frame + other.pixel_start for frame in tile.slots] == list(other.slots)
        assert [8 * here[number] for number in range(tile.carried.start, tile.carried.stop)] == list(
            other.anchors
        )


@given(CLIPS, ROUNDS, st.booleans())
def test_tiles_join_to_the_canvas_and_slots_to_the_next_anchors(
    latents: int, number: int, starts_at_seam: bool
) -> None:
    here = canvas_seams(latents, number)
    found = tiles(here, 2**number, starts_at_seam)
    joined = [i for tile in found for i in range(tile.span.start + tile.ramp, tile.span.stop)]
    assert joined == list(range(canvas_latents(latents, number)))
    assert here[-1] == canvas_latents(latents, number) - 1
    held = [0, *here] if starts_at_seam else list(here)
    assert [8 * held[i] for tile in found for i in range(tile.carried.start, tile.carried.stop)] == [
        tile.frames.start + frame for tile in found for frame in tile.anchors
    ]
    made = [tile.frames.start + slot for tile in found for slot in tile.slots[tile.first_slot :]]
    following = canvas_seams(latents, number + 1)
    carried = [2 * 8 * seam for seam in here]
    assert sorted([*(2 * slot for slot in made), *carried]) == [8 * seam for seam in following]


@given(CLIPS.filter(lambda latents: len(seams(latents)) > 1), ROUNDS)
def test_a_later_tile_holds_the_seam_that_it_begins_at(latents: int, number: int) -> None:
    for before, tile in pairwise(tiles(canvas_seams(latents, number), 2**number, starts_at_seam=True)):
        assert tile.anchors[0] == 0
        seam = tile.span.start + tile.ramp - 1
        assert seam == before.span.stop - 1
        assert tile.first_slot == 1
        assert 8 * (tile.ramp - 1) in tile.anchors


def test_a_tile_of_a_clip_that_starts_at_a_still_holds_it() -> None:
    (tile,) = tiles((6,), 2, starts_at_seam=True)
    assert tile == Tile(Span(0, 7), 0, (0, 48), (24,), Span(0, 2))
    (alone,) = tiles((6,), 2, starts_at_seam=False)
    assert alone == Tile(Span(0, 7), 0, (48,), (24,), Span(0, 1))


def test_what_the_transformer_sees_of_the_rate() -> None:
    assert [seen_rate(rate) for rate in (24.0, 30.0, 48.0, 96.0)] == [24.0, 30.0, 60.0, 60.0]


def test_the_numbers_are_those_of_the_reference() -> None:
    utils = pytest.importorskip("diffusers.pipelines.ltx2.utils")
    from jobs.planning.rounds import layout as rounds

    assert (*utils.TEMPORAL_ROUND_DISTILLED_SIGMA_VALUES, 0.0) == rounds.ROUND_SIGMAS
    assert rounds.ROUND_ETA == utils.TEMPORAL_ANCESTRAL_ETA
    assert rounds.ANCHORED == utils.ANCHOR_KEYFRAME_STRENGTH
    assert (rounds.SNAPPED_ABOVE, rounds.SNAPPED_RATE) == (
        utils.SNAP_CONDITIONING_FPS_ABOVE,
        utils.MAX_CONDITIONING_FPS,
    )

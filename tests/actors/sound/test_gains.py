"""Gains of tracks against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.sound.gains import duck_depths, duck_gain, fade_gain, hop_levels, pan_matrix
from jobs.frames import Span
from jobs.sound.planned import PlannedDucking
from tests.sound_plans import track

SILENT, LOUD = -np.inf, -10.0
DUCK = PlannedDucking(by_db=12.0, threshold_db=-40.0, attack_s=0.02, hold_s=0.03, release_s=0.04)


@pytest.mark.parametrize("pan", [-1.0, -0.3, 0.0, 0.25, 1.0])
def test_a_mono_track_has_the_same_power_everywhere(pan: float) -> None:
    left, right = pan_matrix(pan, 1)[:, 0]
    assert left**2 + right**2 == pytest.approx(1.0)
    assert left == pytest.approx(np.cos((pan + 1) / 2 * np.pi / 2))


def test_a_stereo_track_stays_in_the_middle_and_goes_to_one_side() -> None:
    assert np.array_equal(pan_matrix(0.0, 2).round(15), np.eye(2))
    assert np.allclose(pan_matrix(-1.0, 2), [[1, 1], [0, 0]])
    assert np.allclose(pan_matrix(1.0, 2), [[0, 0], [1, 1]])
    assert np.allclose(pan_matrix(0.5, 2), [[np.cos(np.pi / 4), 0], [np.sin(np.pi / 4), 1]])


def test_a_fade_reaches_full_at_its_last_sample_and_is_the_same_in_blocks() -> None:
    faded = track(Path("a.wav"), fade_in_s=0.004, fade_out_s=0.002)
    whole = fade_gain(faded, 1000, Span(3, 17), Span(0, 20))
    wanted = [0, 0, 0, 0, 0.25, 0.5, 0.75, *[1] * 8, 0.5, 0, 0, 0, 0]
    assert whole.tolist() == wanted
    parts = [fade_gain(faded, 1000, Span(3, 17), Span(start, start + 5)) for start in range(0, 20, 5)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_two_tracks_with_equal_power_keep_it_where_they_cross() -> None:
    curve = {"fade_curve": "equal-power"}
    first = fade_gain(track(Path("a"), fade_out_s=0.1, **curve), 1000, Span(0, 101), Span(0, 101))
    second = fade_gain(track(Path("b"), fade_in_s=0.1, **curve), 1000, Span(0, 101), Span(0, 101))
    assert np.allclose(first**2 + second**2, 1.0)


def test_levels_are_the_root_of_the_mean_square() -> None:
    samples = np.stack([np.full(25, 0.5), np.zeros(25)], axis=1)
    levels = hop_levels(samples, 10)
    assert np.allclose(levels, 10 * np.log10(0.125))
    assert hop_levels(np.zeros((10, 2)), 10)[0] == -np.inf


def test_a_track_is_down_where_the_others_begin_and_comes_back_after_them() -> None:
    """Two hops down, held for three, four back up."""
    levels = np.array([SILENT] * 5 + [LOUD] * 2 + [SILENT] * 12)
    depths = duck_depths(levels, DUCK)
    assert depths.tolist() == [0, 0, 0, 0, 0.5, *[1] * 6, 0.75, 0.5, 0.25, *[0] * 6]


def test_what_is_heard_from_the_start_finds_it_down() -> None:
    assert duck_depths(np.full(4, LOUD), DUCK).tolist() == [1.0] * 5


def test_the_gain_joins_depths_with_lines_in_decibels() -> None:
    depths = np.array([0.0, 0.5, 1.0, 1.0])
    whole = 20 * np.log10(duck_gain(depths, 12.0, 10, Span(0, 30)))
    assert np.allclose(whole[:21], -0.6 * np.arange(21))
    assert np.allclose(whole[20:], -12.0)
    assert np.allclose(20 * np.log10(duck_gain(depths, 12.0, 10, Span(10, 25))), whole[10:25])

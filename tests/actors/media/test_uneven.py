"""Videos of variable frame rate: frame f of the job is the one on screen at f / frame_rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.media.frames import Cut, read_video
from actors.media.probe import probe_video
from jobs.frames import exact_rate

if TYPE_CHECKING:
    from tests.conftest import Marks

RATES = (30.0, 24.0, 25.0, 23.976, 29.97, 60.0, 12.0)
DROPPED = (17, 40, 41, 77, 103)


def phone_clip(missing: Sequence[int]) -> list[Fraction]:
    """Times of 120 frames at 30 per second without the `missing` ones."""
    return [Fraction(n, 30) for n in range(120) if n not in missing]


def on_screen(times: Sequence[Fraction], rate: float, frames: int) -> list[int]:
    """Which of the frames that begin at `times` is seen at the start of each of `frames` frames at `rate`."""
    return [bisect_right(times, Fraction(f) / exact_rate(rate)) - 1 for f in range(frames)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_phone_clip_with_gaps_shows_each_moment(
    suffix: str, tmp_path: Path, write_timed: Callable[..., Path], marks: Marks
) -> None:
    times = phone_clip(DROPPED)
    clip = write_timed(tmp_path / f"phone.{suffix}", times)
    fact = probe_video(clip)
    assert fact.seconds is not None
    for rate in RATES:
        frames = fact.frames_at(rate)
        assert abs(frames - 4 * exact_rate(rate)) <= 1, rate
        shown = marks.numbers(read_video(clip, Cut(64, 64, rate, frames)))
        assert shown == on_screen(times, rate, frames), rate


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cut_of_it_starts_where_it_says(
    suffix: str, tmp_path: Path, write_timed: Callable[..., Path], marks: Marks
) -> None:
    times = phone_clip(DROPPED)
    clip = write_timed(tmp_path / f"phone.{suffix}", times)
    whole = on_screen(times, 25.0, 100)
    shown = marks.numbers(read_video(clip, Cut(64, 64, 25.0, 33, skip_frames=67)))
    assert shown == whole[67:]


def test_frames_far_apart_stand_until_the_next(
    tmp_path: Path, write_timed: Callable[..., Path], marks: Marks
) -> None:
    times = [Fraction(n) for n in (0, 1)] + [Fraction(5, 4), Fraction(13, 4), Fraction(10, 3)]
    clip = write_timed(tmp_path / "slides.mp4", times)
    frames = probe_video(clip).frames_at(24.0)
    assert frames >= 80
    assert marks.numbers(read_video(clip, Cut(64, 64, 24.0, frames))) == on_screen(times, 24.0, frames)


def test_a_video_that_starts_late_starts_with_its_first_frame(
    tmp_path: Path, write_timed: Callable[..., Path], marks: Marks, ffmpeg_run: Callable[..., None]
) -> None:
    times = phone_clip(DROPPED)
    clip = write_timed(tmp_path / "phone.mp4", times)
    sound = ("-f", "lavfi", "-i", "sine=r=48000:d=4")
    late = tmp_path / "late.mkv"
    ffmpeg_run("-itsoffset", 0.3, "-i", clip, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", late)
    fact = probe_video(late)
    assert fact.sound_start_s == pytest.approx(-0.3, abs=0.001)
    shown = marks.numbers(read_video(late, Cut(64, 64, 30.0, 100)))
    assert shown == on_screen(times, 30.0, 100)


def test_frames_that_cannot_be_decoded_move_no_others(
    tmp_path: Path, write_timed: Callable[..., Path], marks: Marks, ffmpeg_run: Callable[..., None]
) -> None:
    """A clip of key frames at a constant rate, two of which are noise: what follows keeps its place."""
    clip = write_timed(tmp_path / "clip.mkv", [Fraction(n, 24) for n in range(60)], "-g", 1)
    noise = ("-bsf:v", "noise=amount='between(n,12,13)'")
    ffmpeg_run("-i", clip, "-c", "copy", *noise, tmp_path / "damaged.mkv")
    shown = marks.numbers(read_video(tmp_path / "damaged.mkv", Cut(64, 64, 24.0, 60)))
    assert shown[:12] == list(range(12))
    assert shown[12:14] != [12, 13]
    assert shown[14:] == list(range(14, 60))

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.media.ffmpeg import find_ffmpeg
from actors.media.probe import probe_audio, probe_video, read_stream
from actors.media.segment import encode_segment
from jobs.errors import InvalidInput
from jobs.frames import exact_rate

if TYPE_CHECKING:
    from tests.conftest import Marks

RATES = (23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 12.5, 10.0)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "ts"])
@pytest.mark.parametrize("rate", RATES)
def test_rates_and_counts_of_every_container(
    suffix: str, rate: float, tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    if suffix == "ts" and find_ffmpeg().version.endswith("-static"):
        pytest.skip("this static build crashes on any transport stream")
    source = f"testsrc=s=96x64:r={exact_rate(rate)}:d=4"
    ffmpeg_run("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", "-frames:v", 31,
               tmp_path / f"a.{suffix}")  # fmt: skip
    stream = read_stream(tmp_path / f"a.{suffix}")
    assert (stream.frames, stream.width, stream.height) == (31, 96, 64)
    assert (stream.rate, stream.is_constant) == (exact_rate(rate), True)


def test_b_frames_do_not_disturb_the_count(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> None:
    ffmpeg_run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=24", "-frames:v", 49, "-bf", 3, tmp_path / "a.mp4")
    assert probe_video(tmp_path / "a.mp4").frames == 49


def test_an_edit_list_hides_frames(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> None:
    ffmpeg_run("-f", "lavfi", "-i", "testsrc2=s=96x64:r=24", "-frames:v", 48, "-bf", 0, tmp_path / "a.mp4")
    ffmpeg_run("-ss", 0.5, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    assert probe_video(tmp_path / "b.mp4").frames == 36


def test_uneven_frames_are_counted_at_their_mean_rate(uneven_video: Path) -> None:
    stream = read_stream(uneven_video)
    assert not stream.is_constant
    assert abs(stream.frames - 48) <= 2


@pytest.mark.parametrize(("times", "frames"), [("if(eq(N,1),0,40*N)", {30}), ("0", {0, 1})])
def test_equal_times_are_uneven(
    times: str, frames: set[int], tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    write_timed(tmp_path / "a.mkv", times, ffmpeg_run)
    stream = read_stream(tmp_path / "a.mkv")
    assert stream.frames in frames
    assert (stream.rate, stream.is_constant) == (Fraction(25), False)


def test_times_that_a_coarse_tick_makes_equal_are_even(
    tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    write_timed(tmp_path / "a.mkv", "floor(N/2)", ffmpeg_run, frame_rate=2000)
    stream = read_stream(tmp_path / "a.mkv")
    assert (stream.frames, stream.is_constant) == (30, True)


def write_timed(path: Path, times: str, ffmpeg_run: Callable[..., None], frame_rate: int = 25) -> None:
    """30 frames in Matroska, whose ticks are milliseconds, with `times` in ticks as an expression of N."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=96x64:r={frame_rate}", "-frames:v", 30)
    timed = ("-vf", f"settb=1/1000,setpts='{times}'", "-fps_mode", "passthrough", "-enc_time_base", "1:1000")
    ffmpeg_run(*picture, *timed, "-bf", 0, path)


def test_a_single_frame_is_a_video(marks: Marks, tmp_path: Path) -> None:
    path = encode_segment(marks.frames(0, 1), marks.params("h264", 1, 30.0), tmp_path / "a.mov")
    stream = read_stream(path)
    assert (stream.frames, stream.rate) == (1, Fraction(30))


def test_anamorphic_pixels(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> None:
    ffmpeg_run("-f", "lavfi", "-i", "testsrc=s=72x64:r=25,setsar=16/15", "-frames:v", 3, tmp_path / "a.mp4")
    assert read_stream(tmp_path / "a.mp4").pixel_aspect == Fraction(16, 15)


@pytest.mark.parametrize(
    ("size", "tag", "matrix"),
    [("96x64", None, "smpte170m"), ("1280x720", None, "bt709"), ("96x64", "bt709", "bt709")],
)
def test_the_yuv_matrix_is_named_or_assumed_by_size(
    size: str, tag: str, matrix: str, tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    tags = f",setparams=colorspace={tag}" if tag else ""
    ffmpeg_run("-f", "lavfi", "-i", f"color=s={size}:r=25,format=yuv420p{tags}", "-frames:v", 2,
               *(("-colorspace", tag) if tag else ()), tmp_path / "a.mp4")  # fmt: skip
    assert read_stream(tmp_path / "a.mp4").matrix == matrix


@pytest.mark.parametrize("content", [b"", b"this is no video", b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 40])
def test_what_is_no_video_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"a\.mp4.*name a file"):
        probe_video(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.mp4"):
        probe_video(tmp_path / "none.mp4")


def test_sound_without_pictures_is_no_video(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros((2, 4410), np.float32), 44100)
    with pytest.raises(InvalidInput):
        probe_video(path)
    assert (probe_audio(path).sample_rate, probe_audio(path).layout) == (44100, "stereo")


def test_pictures_without_sound_are_no_sound(marks: Marks, tmp_path: Path) -> None:
    path = encode_segment(marks.frames(0, 2), marks.params("h264", 2), tmp_path / "a.mov")
    with pytest.raises(InvalidInput, match="sound"):
        probe_audio(path)

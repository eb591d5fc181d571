from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from actors.media.codecs import png_name
from actors.media.frames import Cut, encode_png, frame_at, read_video
from actors.media.probe import probe_video, read_stream
from actors.media.segment import encode_segment
from jobs.errors import InvalidInput
from jobs.frames import conformed_frames, exact_rate, source_frame

if TYPE_CHECKING:
    from tests.conftest import Marks


def count_frames(path: Path, frame_rate: float) -> int:
    """Frames of a video once it is brought to `frame_rate`."""
    fact = probe_video(path)
    return conformed_frames(fact.frames, fact.frame_rate, frame_rate)


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def film(marks: Marks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 numbered frames at 24 frames per second."""
    out = tmp_path_factory.mktemp("film") / "film.mov"
    return encode_segment(marks.frames(0, 100), marks.params("h264", 100), out)


@pytest.mark.parametrize("rate", [24.0, 12.0, 48.0, 25.0, 30.0, 23.976, 7.3])
def test_frames_at_another_rate_are_those_on_screen(rate: float, film: Path, marks: Marks) -> None:
    count = count_frames(film, rate)
    assert count == conformed_frames(100, 24.0, rate)
    shown = marks.numbers(read_video(film, Cut(64, 64, rate, count)))
    assert shown == [source_frame(f, 24.0, rate) for f in range(count)]


def test_a_cut_starts_and_ends_where_it_says(film: Path, marks: Marks) -> None:
    assert marks.numbers(read_video(film, Cut(64, 64, 24.0, 9, skip_frames=60))) == list(range(60, 69))
    assert read_video(film, Cut(64, 64, 24.0, 0)).shape == (0, 64, 64, 3)


def test_a_cut_past_the_end_is_refused(film: Path) -> None:
    with pytest.raises(InvalidInput, match="take fewer frames"):
        read_video(film, Cut(64, 64, 24.0, 9, skip_frames=95))


def test_a_video_is_scaled_to_cover_and_cropped(film: Path) -> None:
    frames = read_video(film, Cut(96, 32, 24.0, 3))
    assert frames.shape == (3, 32, 96, 3)


def test_a_video_is_scaled_to_fit_and_padded(film: Path) -> None:
    frames = read_video(film, Cut(96, 32, 24.0, 3, fit="pad"))
    assert frames.shape == (3, 32, 96, 3)
    assert np.array_equal(frames[:, :, 32:64], read_video(film, Cut(32, 32, 24.0, 3)))
    assert not frames[:, :, :32].any()
    assert not frames[:, :, 64:].any()


def test_anamorphic_video_is_shown_in_its_proportions(
    tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    source = "color=black:s=64x64:r=24,drawbox=x=16:y=0:w=32:h=64:c=white:t=fill,setsar=2/1"
    ffmpeg_run("-f", "lavfi", "-i", source, "-frames:v", 2, tmp_path / "a.mp4")
    frames = read_video(tmp_path / "a.mp4", Cut(128, 64, 24.0, 1))
    lit = frames[0, 32, :, 1] > 127
    assert abs(int(lit.sum()) - 64) <= 2


def test_uneven_video_is_read_to_its_last_frame(uneven_video: Path) -> None:
    count = count_frames(uneven_video, 24.0)
    assert len(read_video(uneven_video, Cut(96, 64, 24.0, count))) == count


@pytest.mark.parametrize("rate", [24.0, 23.976])
@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "libx264"), ("a.avi", "mpeg4"), ("a.mpg", "mpeg2video"), ("a.h264", "libx264")],
)
def test_frames_whose_times_are_not_stored_are_all_read(
    name: str,
    codec: str,
    rate: float,
    film: Path,
    marks: Marks,
    tmp_path: Path,
    ffmpeg_run: Callable[..., None],
) -> None:
    path = tmp_path / name
    ffmpeg_run("-r", exact_rate(rate), "-i", film, "-c:v", codec, "-bf", 2, "-q:v", 2, path)
    stream = read_stream(path)
    assert (stream.frames, stream.rate) == (100, exact_rate(rate))
    assert marks.numbers(read_video(path, Cut(64, 64, rate, 100))) == list(range(100))


@pytest.mark.parametrize("index", [0, 1, 47, 48, 49, 99])
def test_a_frame_is_found_by_its_number(index: int, film: Path, marks: Marks) -> None:
    assert marks.numbers(pixels_of(frame_at(film, index, 24.0))[None]) == [index]


def test_a_frame_can_be_a_thumbnail(film: Path) -> None:
    assert pixels_of(frame_at(film, 5, 24.0, width=32)).shape == (32, 32, 3)


def test_a_frame_past_the_end_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no frame 100"):
        frame_at(film, 100, 24.0)
    with pytest.raises(InvalidInput, match="no frame 0"):
        frame_at(tmp_path, 0, 24.0)


def test_a_frame_of_a_sequence(marks: Marks, tmp_path: Path) -> None:
    (tmp_path / png_name(7)).write_bytes(encode_png(marks.frames(7, 1)[0]))
    assert marks.numbers(pixels_of(frame_at(tmp_path, 7, 24.0))[None]) == [7]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.webm", "libvpx", "yuva420p"),
    ],
)
def test_a_transparent_video_is_shown_over_black(
    name: str, codec: str, pixels: str, tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    path = tmp_path / name
    picture = (
        "color=0x2850C8:s=64x32:r=24,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),255,0)'"
    )
    coded = ("-c:v", codec, "-pix_fmt", pixels, *(("-auto-alt-ref", 0) if codec == "libvpx" else ()))
    ffmpeg_run("-f", "lavfi", "-i", picture, "-frames:v", 3, *coded, path)
    assert probe_video(path).transparent
    frames = read_video(path, Cut(64, 32, 24.0, 3)).astype(int)
    assert frames[:, :, 36:].max() <= 2
    assert np.abs(frames[:, 8:-8, 4:28] - (0x28, 0x50, 0xC8)).max() <= 8


@pytest.mark.parametrize(
    ("degrees", "corner"), [(90, "lower left"), (180, "lower right"), (270, "upper right")]
)
def test_a_video_is_turned_as_its_display_matrix_says(
    degrees: int, corner: str, tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    flat = "color=black:s=96x64:r=24,drawbox=x=0:y=0:w=32:h=32:c=white:t=fill"
    ffmpeg_run("-f", "lavfi", "-i", flat, "-frames:v", 2, tmp_path / "flat.mp4")
    ffmpeg_run("-display_rotation", degrees, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "a.mp4")
    width, height = (64, 96) if degrees in (90, 270) else (96, 64)
    bright = read_video(tmp_path / "a.mp4", Cut(width, height, 24.0, 1))[0, :, :, 1] > 127
    rows, columns = np.nonzero(bright)
    across = "left" if columns.mean() < width / 2 else "right"
    down = "upper" if rows.mean() < height / 2 else "lower"
    assert f"{down} {across}" == corner
    assert abs(int(bright.sum()) - 32 * 32) < 80


def test_odd_pixels_are_turned_with_the_picture(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> None:
    """Stored 64x64 with pixels twice as wide as high, shown on its side: 64 wide and 128 high."""
    flat = "color=black:s=64x64:r=24,drawbox=x=16:y=16:w=32:h=32:c=white:t=fill,setsar=2/1"
    ffmpeg_run("-f", "lavfi", "-i", flat, "-frames:v", 2, tmp_path / "flat.mp4")
    ffmpeg_run("-display_rotation", 90, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "a.mp4")
    lit = read_video(tmp_path / "a.mp4", Cut(64, 128, 24.0, 1))[0, :, :, 1] > 127
    assert abs(int(lit[:, 32].sum()) - 64) <= 2
    assert abs(int(lit[64].sum()) - 32) <= 2

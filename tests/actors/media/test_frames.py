from __future__ import annotations

import errno
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actors.media.frames import (
    Cut,
    encode_png,
    frame_at,
    png_name,
    probe_image,
    read_image,
    read_video,
)  # fmt: skip
from actors.media.probe import probe_video, read_stream
from actors.media.segment import encode_segment
from jobs.errors import InvalidInput, OutOfMemory, StageError, StorageProblem
from jobs.frames import conformed_frames, exact_rate, source_frame


def count_frames(path: Path, frame_rate: float) -> int:
    """Frames of a video once it is brought to `frame_rate`."""
    fact = probe_video(path)
    return conformed_frames(fact.frames, fact.frame_rate, frame_rate)


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture(scope="module")
def film(marks, tmp_path_factory) -> Path:
    """100 numbered frames at 24 frames per second."""
    out = tmp_path_factory.mktemp("film") / "film.mov"
    return encode_segment(marks.frames(0, 100), marks.params("h264", 100), out)


def test_an_image_of_the_right_size_is_untouched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    assert np.array_equal(read_image(tmp_path / "a.png", 64, 32), pixels)


def test_an_image_is_cropped_around_its_centre(tmp_path: Path) -> None:
    wide = np.zeros((64, 256, 3), np.uint8)
    wide[:, 96:160] = (10, 200, 30)
    (tmp_path / "a.png").write_bytes(encode_png(wide))
    assert np.abs(read_image(tmp_path / "a.png", 32, 32).astype(int)[4:-4, 4:-4] - (10, 200, 30)).max() <= 2


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    sideways = Image.fromarray(np.repeat(np.uint8([[[255, 0, 0]], [[0, 0, 255]]]), 64, 1).repeat(32, 0))
    exif = Image.Exif()
    exif[274] = 6
    sideways.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "a.jpg", 64, 64)
    assert upright[32, 8, 2] > 200 and upright[32, 56, 0] > 200


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_kind_of_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "white").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = read_image(path, 32, 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8 and (pixels == 255).all()


def test_deep_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32), 32768, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 32, 32) == 127).all()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\x00" * 30])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"a\.png cannot be read"):
        read_image(tmp_path / "a.png", 32, 32)


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        read_image(tmp_path / "none.png", 32, 32)


def test_an_image_on_a_broken_disk_is_a_storage_problem() -> None:
    with pytest.raises(StorageProblem, match="Input/output error") as caught:
        read_image("/proc/self/mem", 32, 32)
    assert caught.value.path == "/proc/self/mem"


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ESTALE, StorageProblem), (errno.EACCES, StorageProblem), (errno.ENOMEM, OutOfMemory)],
)
def test_an_image_that_the_system_refuses_is_not_the_users_fault(
    number: int, kind: type[StageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, **_: object) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(kind, match=r"/nfs/a\.png"):
        read_image("/nfs/a.png", 32, 32)


@pytest.mark.parametrize("rate", [24.0, 12.0, 48.0, 25.0, 30.0, 23.976, 7.3])
def test_frames_at_another_rate_are_those_on_screen(rate: float, film: Path, marks) -> None:
    count = count_frames(film, rate)
    assert count == conformed_frames(100, 24.0, rate)
    shown = marks.numbers(read_video(film, Cut(64, 64, rate, count)))
    assert shown == [source_frame(f, 24.0, rate) for f in range(count)]


def test_a_cut_starts_and_ends_where_it_says(film: Path, marks) -> None:
    assert marks.numbers(read_video(film, Cut(64, 64, 24.0, 9, skip_frames=60))) == list(range(60, 69))
    assert read_video(film, Cut(64, 64, 24.0, 0)).shape == (0, 64, 64, 3)


def test_a_cut_past_the_end_is_refused(film: Path) -> None:
    with pytest.raises(InvalidInput, match="take fewer frames"):
        read_video(film, Cut(64, 64, 24.0, 9, skip_frames=95))


def test_a_video_is_scaled_to_cover_and_cropped(film: Path) -> None:
    frames = read_video(film, Cut(96, 32, 24.0, 3))
    assert frames.shape == (3, 32, 96, 3)


def test_anamorphic_video_is_shown_in_its_proportions(tmp_path: Path, ffmpeg_run) -> None:
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
    name: str, codec: str, rate: float, film: Path, marks, tmp_path: Path, ffmpeg_run
) -> None:
    path = tmp_path / name
    ffmpeg_run("-r", exact_rate(rate), "-i", film, "-c:v", codec, "-bf", 2, "-q:v", 2, path)
    stream = read_stream(path)
    assert (stream.frames, stream.rate) == (100, exact_rate(rate))
    assert marks.numbers(read_video(path, Cut(64, 64, rate, 100))) == list(range(100))


@pytest.mark.parametrize("index", [0, 1, 47, 48, 49, 99])
def test_a_frame_is_found_by_its_number(index: int, film: Path, marks) -> None:
    assert marks.numbers(pixels_of(frame_at(film, index, 24.0))[None]) == [index]


def test_a_frame_can_be_a_thumbnail(film: Path) -> None:
    assert pixels_of(frame_at(film, 5, 24.0, width=32)).shape == (32, 32, 3)


def test_a_frame_past_the_end_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no frame 100"):
        frame_at(film, 100, 24.0)
    with pytest.raises(InvalidInput, match="no frame 0"):
        frame_at(tmp_path, 0, 24.0)


def test_a_frame_of_a_sequence(marks, tmp_path: Path) -> None:
    (tmp_path / png_name(7)).write_bytes(encode_png(marks.frames(7, 1)[0]))
    assert marks.numbers(pixels_of(frame_at(tmp_path, 7, 24.0))[None]) == [7]


def half_transparent(mode: str) -> Image.Image:
    """Left half of a light blue, right half the same blue, unseen."""
    pixels = np.zeros((32, 64, 4), np.uint8)
    pixels[:] = (40, 80, 200, 255)
    pixels[:, 32:, 3] = 0
    image = Image.fromarray(pixels)
    if mode != "P":
        return image.convert(mode)
    indices = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8)).convert("P")
    indices.putpalette([40, 80, 200, 40, 80, 200])
    indices.info["transparency"] = 1
    return indices


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "RGBA"), ("a.png", "P"), ("a.png", "LA"), ("a.webp", "RGBA")]
)
def test_transparent_parts_are_shown_over_black(name: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / name
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    half_transparent(mode).save(path, **options)
    pixels = read_image(path, 64, 32)
    assert not pixels[:, 33:].any()
    assert pixels[:, :31].any(axis=2).all()
    assert probe_image(path).transparent


def test_half_of_the_light_of_half_a_pixel(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (200, 100, 50, 128)).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png", 32, 32).astype(int) - (100, 50, 25)).max() <= 1


def test_an_alpha_channel_that_hides_nothing_is_not_transparent(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (200, 100, 50, 255)).save(tmp_path / "a.png")
    assert not probe_image(tmp_path / "a.png").transparent


def damaged(path: Path, kind: str) -> Path:
    """A photograph of noise, with its end cut off or a bit of its data turned."""
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[: len(data) * 2 // 3]
    elif kind == "sum":
        at = data.find(b"IDAT")
        (length,) = struct.unpack(">I", data[at - 4 : at])
        data[at + 4 + length] ^= 0x01
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "cut"),
        ("a.png", "sum"),
        ("a.jpg", "cut"),
        ("a.webp", "cut"),
        ("a.tif", "cut"),
        ("a.bmp", "cut"),
    ],
)
def test_a_damaged_picture_is_refused_wherever_it_is_read(name: str, kind: str, tmp_path: Path) -> None:
    path = damaged(tmp_path / name, kind)
    for read in (lambda: probe_image(path), lambda: read_image(path, 64, 64)):
        with pytest.raises(InvalidInput, match="cannot be read as an image"):
            read()


def test_a_transparent_video_is_shown_over_black(tmp_path: Path, ffmpeg_run) -> None:
    path = tmp_path / "a.mov"
    picture = (
        "color=0x2850C8:s=64x32:r=24,format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),255,0)'"
    )
    ffmpeg_run(
        "-f", "lavfi", "-i", picture, "-frames:v", 3, "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le", path
    )
    assert probe_video(path).transparent
    frames = read_video(path, Cut(64, 32, 24.0, 3)).astype(int)
    assert frames[:, :, 36:].max() <= 2
    assert np.abs(frames[:, 8:-8, 4:28] - (0x28, 0x50, 0xC8)).max() <= 6


@pytest.mark.parametrize(
    ("degrees", "corner"), [(90, "lower left"), (180, "lower right"), (270, "upper right")]
)
def test_a_video_is_turned_as_its_display_matrix_says(
    degrees: int, corner: str, tmp_path: Path, ffmpeg_run
) -> None:
    flat = "color=black:s=96x64:r=24,drawbox=x=0:y=0:w=32:h=32:c=white:t=fill"
    ffmpeg_run("-f", "lavfi", "-i", flat, "-frames:v", 2, tmp_path / "flat.mp4")
    ffmpeg_run("-display_rotation", degrees, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "a.mp4")
    width, height = (64, 96) if degrees in (90, 270) else (96, 64)
    bright = read_video(tmp_path / "a.mp4", Cut(width, height, 24.0, 1))[0, :, :, 1] > 127
    rows, columns = np.nonzero(bright)
    across = "left" if columns.mean() < width / 2 else "right"
    down = "upper" if rows.mean() < height / 2 else "lower"
    assert f"{down} {across}" == corner and abs(int(bright.sum()) - 32 * 32) < 80


def test_odd_pixels_are_turned_with_the_picture(tmp_path: Path, ffmpeg_run) -> None:
    """Stored 64x64 with pixels twice as wide as high, shown on its side: 64 wide and 128 high."""
    flat = "color=black:s=64x64:r=24,drawbox=x=16:y=0:w=32:h=64:c=white:t=fill,setsar=2/1"
    ffmpeg_run("-f", "lavfi", "-i", flat, "-frames:v", 2, tmp_path / "flat.mp4")
    ffmpeg_run("-display_rotation", 90, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "a.mp4")
    lit = read_video(tmp_path / "a.mp4", Cut(64, 128, 24.0, 1))[0, :, 32, 1] > 127
    assert abs(int(lit.sum()) - 64) <= 2

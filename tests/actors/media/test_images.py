"""Guide images: upright, over black, whole."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actors.media.frames import encode_png
from actors.media.images import probe_image, read_image
from jobs.errors import InvalidInput, OutOfMemory, StageError, StorageProblem


def test_an_image_of_the_right_size_is_untouched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    assert np.array_equal(read_image(tmp_path / "a.png", 64, 32), pixels)


def test_an_image_is_cropped_around_its_centre(tmp_path: Path) -> None:
    wide = np.zeros((64, 256, 3), np.uint8)
    wide[:, 96:160] = (10, 200, 30)
    (tmp_path / "a.png").write_bytes(encode_png(wide))
    assert np.abs(read_image(tmp_path / "a.png", 32, 32).astype(int)[4:-4, 4:-4] - (10, 200, 30)).max() <= 2


def test_an_image_is_padded_around_its_centre(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(np.full((64, 256, 3), 200, np.uint8)))
    padded = read_image(tmp_path / "a.png", 32, 32, "pad")
    assert (padded[12:20] == 200).all()
    assert not padded[:12].any()
    assert not padded[20:].any()


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    sideways = Image.fromarray(
        np.repeat(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 64, 1).repeat(32, 0)
    )
    exif = Image.Exif()
    exif[274] = 6
    sideways.save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "a.jpg", 64, 64)
    assert upright[32, 8, 2] > 200
    assert upright[32, 56, 0] > 200


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_kind_of_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), "white").convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = read_image(path, 32, 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 255).all()


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
    with pytest.raises(StorageProblem, match="the device reports an I/O error") as caught:
        read_image("/proc/self/mem", 32, 32)
    assert caught.value.path == "/proc/self/mem"


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ESTALE, StorageProblem), (errno.EACCES, StorageProblem), (errno.ENOMEM, OutOfMemory)],
)
def test_an_image_that_the_system_refuses_is_not_the_users_fault(
    number: int, kind: type[StageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _mode: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(kind, match=r"/nfs/a\.png"):
        read_image("/nfs/a.png", 32, 32)


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
    options: dict[str, Any] = {"lossless": True, "exact": True} if name == "a.webp" else {}
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

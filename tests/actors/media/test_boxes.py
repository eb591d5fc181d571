from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.media.boxes import box_header, read_movie
from actors.media.segment import encode_segment
from jobs.errors import CorruptArtifact

if TYPE_CHECKING:
    from tests.conftest import Marks


@pytest.fixture
def movie(marks: Marks, tmp_path: Path) -> Path:
    return encode_segment(marks.frames(0, 10), marks.params("h264", 10, 29.97), tmp_path / "a.mov")


def test_the_index_is_read(movie: Path) -> None:
    track = read_movie(movie).track("vide")
    assert track
    assert (track.samples, track.timescale) == (10, 30000)
    assert track.durations == ((10, 1001),)
    assert track.configuration.startswith(b"avc1avcC")
    assert read_movie(movie).track("soun") is None


def test_equal_settings_have_equal_configurations(movie: Path, marks: Marks, tmp_path: Path) -> None:
    other = encode_segment(marks.frames(50, 3), marks.params("h264", 3, 29.97), tmp_path / "b.mov")
    first, second = read_movie(other).track("vide"), read_movie(movie).track("vide")
    assert first
    assert second
    assert first.configuration == second.configuration


@pytest.mark.parametrize("keep", [0, 7, 40, 500])
def test_a_torn_file_is_corrupt(keep: int, movie: Path) -> None:
    movie.write_bytes(movie.read_bytes()[:keep])
    with pytest.raises(CorruptArtifact, match="render it again"):
        read_movie(movie)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "header",
    [
        struct.pack(">I4s", 0, b"mdat"),
        struct.pack(">I4s", 7, b"mdat"),
        struct.pack(">I4sQ", 1, b"mdat", 0),
        struct.pack(">I4sQ", 1, b"mdat", 15),
    ],
)
def test_a_box_without_a_size_is_corrupt(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.mov"
    path.write_bytes(box_header(b"wide", 0) + header + bytes(1000))
    with pytest.raises(CorruptArtifact, match=r"box b'mdat' of .* render it again"):
        read_movie(path)


def test_large_boxes_have_long_headers() -> None:
    assert box_header(b"mdat", 100) == b"\x00\x00\x00\x6cmdat"
    assert box_header(b"mdat", 1 << 33) == b"\x00\x00\x00\x01mdat" + ((1 << 33) + 16).to_bytes(8, "big")

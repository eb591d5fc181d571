"""What a user's file may be: of a format on the list, without other files behind it, its pixels bounded."""

from __future__ import annotations

import socket
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from actors.media import images
from actors.media.audio import Listen, read_audio
from actors.media.frames import Cut, read_video
from actors.media.images import probe_image, read_image
from actors.media.opening import MAX_PIXELS
from actors.media.probe import probe_audio, probe_video
from jobs.errors import InvalidInput

PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "list.mp4": "ffconcat version 1.0\nfile '{clip}'\n",
    "page.ans": "some text for a terminal {clip}\n",
    "page.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><!-- {clip} --></MPD>',
}


@pytest.fixture
def clip(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> Path:
    """Two seconds of pictures and sound."""
    path = tmp_path / "clip.mp4"
    ffmpeg_run(
        "-f", "lavfi", "-i", "testsrc2=s=64x64:r=24", "-f", "lavfi", "-i", "sine=r=48000", "-t", 2, path
    )
    return path


@pytest.mark.parametrize("name", PLAYLISTS)
def test_what_points_to_other_files_is_refused(name: str, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(clip=clip.name))
    readers: tuple[Callable[[], object], ...] = (
        lambda: probe_video(path),
        lambda: read_video(path, Cut(64, 64, 24.0, 9)),
        lambda: probe_audio(path),
        lambda: read_audio(path, Listen(0, 100, 48000)),
    )
    for read in readers:
        with pytest.raises(InvalidInput, match=rf"{name}.*name a file"):
            read()


def test_a_playlist_of_the_network_reaches_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)
        asked: list[object] = []

        def listen() -> None:
            try:
                asked.append(server.accept())
            except TimeoutError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        path = tmp_path / "list.m3u8"
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        path.write_text(PLAYLISTS["list.m3u8"].format(clip=address))
        with pytest.raises(InvalidInput):
            probe_video(path)
        thread.join()
    assert not asked


def test_a_name_that_looks_like_a_protocol_is_a_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip.rename(tmp_path / "concat:take 1.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe_video("concat:take 1.mp4").frames == 48


@pytest.mark.parametrize("program", ["%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"])
def test_postscript_is_never_run(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands EPS files to Ghostscript, which it finds by this name on the path."""
    for name in ("gs", "gswin64c"):
        fake = tmp_path / name
        fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    for name in ("a.eps", "a.png"):
        (tmp_path / name).write_text(program)
        with pytest.raises(InvalidInput, match="PNG, JPEG or WebP"):
            read_image(tmp_path / name, 8, 8)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.ico", "a.pcx", "a.tga", "a.ppm"])
def test_formats_that_nobody_films_from_are_refused(name: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / name)
    with pytest.raises(InvalidInput, match="PNG, JPEG or WebP"):
        probe_image(tmp_path / name)


def one_bit_png(path: Path, side: int) -> Path:
    """A white square of one bit a pixel: a few kilobytes for hundreds of megapixels."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * (side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def test_a_huge_picture_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    path = one_bit_png(tmp_path / "huge.png", 13_000)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(images, "_is_transparent", lambda _: pytest.fail("it was decoded"))
    for read in (lambda: probe_image(path), lambda: read_image(path, 64, 64)):
        with pytest.raises(InvalidInput, match=r"13000x13000 pixels, 169 million.*scale it down"):
            read()
    assert not recwarn.list


def test_a_large_picture_is_read(tmp_path: Path) -> None:
    path = one_bit_png(tmp_path / "large.png", 5992)
    assert MAX_PIXELS > 5992**2
    assert probe_image(path).width == 5992


def test_a_huge_video_is_refused_before_it_is_decoded(
    tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    path = tmp_path / "huge.mkv"
    ffmpeg_run(
        "-f", "lavfi", "-i", "color=s=8192x4608:r=1", "-frames:v", 1, "-c:v", "mjpeg", "-q:v", 31, path
    )
    with pytest.raises(InvalidInput, match=r"8192x4608 pixels.*scale it down"):
        probe_video(path)


def test_a_webp_is_held_in_four_copies_and_has_a_bound_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 4000)).save(tmp_path / "a.webp", quality=1, method=0)
    with pytest.raises(InvalidInput, match="12 million are read at most"):
        probe_image(tmp_path / "a.webp")

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.media.ffmpeg import FFmpeg, find_ffmpeg
from jobs.errors import MissingFFmpeg


@pytest.fixture
def fresh_search() -> Iterator[None]:
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


def script(path: Path, banner: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{banner}'\n")
    path.chmod(0o755)
    return path


def test_it_finds_a_binary_that_can_make_every_codec() -> None:
    found = find_ffmpeg()
    assert {"libx264", "libx265", "prores_ks", "ffv1", "png", "aac", "flac"} <= found.encoders
    assert found.build_id.startswith(f"ffmpeg {found.version} ")


def test_a_missing_encoder_is_named() -> None:
    with pytest.raises(MissingFFmpeg, match=r"no encoder libnothing.*FARM_FFMPEG"):
        find_ffmpeg().require("libnothing")


@pytest.mark.parametrize(
    ("version", "major"),
    [("4.4.2-0ubuntu0.22.04.1", 4), ("7.0.2-static", 7), ("n9.0.2-17-g2a571b6068", 9), ("N-118-g1a", None)],
)
def test_release_numbers(version: str, major: int | None) -> None:
    assert FFmpeg("ffmpeg", f"ffmpeg version {version} Copyright").major == major


@pytest.mark.usefixtures("fresh_search")
def test_the_environment_variable_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = find_ffmpeg().path
    link = tmp_path / "my-ffmpeg"
    link.symlink_to(real)
    find_ffmpeg.cache_clear()
    monkeypatch.setenv("FARM_FFMPEG", str(link))
    assert find_ffmpeg().path == real


@pytest.mark.parametrize(
    ("banner", "problem"),
    [
        ("ffmpeg version 4.4.2 x", "older than"),
        ("hello", "does not run"),
        ("ffmpeg version 7.0 x", "no libx264"),
    ],
)
@pytest.mark.usefixtures("fresh_search")
def test_an_unfit_choice_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, banner: str, problem: str
) -> None:
    monkeypatch.setenv("FARM_FFMPEG", str(script(tmp_path / "ffmpeg", banner)))
    with pytest.raises(MissingFFmpeg, match=problem):
        find_ffmpeg()


@pytest.mark.usefixtures("fresh_search")
def test_an_old_system_ffmpeg_gives_way_to_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.delenv("FARM_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    script(tmp_path / "ffmpeg", "ffmpeg version 4.4.2 x")
    assert "imageio" in find_ffmpeg().path

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.farm.doctor.conftest import Doctor, film, found

WITHOUT = """
case "$*" in
  *-encoders*) "$real" "$@" | grep -v {encoder} ;;
  *) exec "$real" "$@" ;;
esac
"""
OLD = """
case "$1" in
  -version) echo "ffmpeg version 4.4.2 Copyright (c)" ;;
  *) exec "$real" "$@" ;;
esac
"""
Choose = Callable[[str], None]


def test_a_whole_build(doctor: Doctor) -> None:
    report = doctor()
    assert "libx264" in found(report, "codecs", "ok")["message"]
    assert found(report, "ffmpeg", "ok")


@pytest.mark.parametrize("script", ["exit 1", OLD, WITHOUT.format(encoder="libx264")])
def test_an_ffmpeg_that_cannot_be_used(doctor: Doctor, with_ffmpeg: Choose, script: str) -> None:
    with_ffmpeg(script)
    finding = found(doctor(), "ffmpeg", "fail")
    assert "FARM_FFMPEG" in finding["message"]
    assert "imageio-ffmpeg" in finding["fix"]


def test_a_missing_ffmpeg(doctor: Doctor, with_ffmpeg: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ffmpeg("")
    monkeypatch.setenv("FARM_FFMPEG", "/no/such/ffmpeg")
    assert "does not run" in found(doctor(), "ffmpeg", "fail")["message"]


def test_an_encoder_that_the_film_needs(doctor: Doctor, with_ffmpeg: Choose, tmp_path: Path) -> None:
    with_ffmpeg(WITHOUT.format(encoder="libx265"))
    finding = found(doctor(film(tmp_path, output={"dir": str(tmp_path), "codec": "hevc"})), "codecs", "fail")
    assert "libx265" in finding["message"]
    assert "hevc" in finding["message"]
    assert "FARM_FFMPEG" in finding["fix"]
    assert found(doctor(film(tmp_path)), "codecs", "ok")


def test_without_a_spec_a_missing_encoder_only_warns(doctor: Doctor, with_ffmpeg: Choose) -> None:
    with_ffmpeg(WITHOUT.format(encoder="prores_ks"))
    assert "prores_ks" in found(doctor(), "codecs", "warn")["message"]


def test_an_encoder_that_the_sound_needs(
    doctor: Doctor, with_ffmpeg: Choose, tmp_path: Path, score: Path
) -> None:
    with_ffmpeg(WITHOUT.format(encoder="' aac '"))
    data = film(tmp_path)
    data["videos"][0]["sound"] = [{"file": str(score)}]
    assert "aac" in found(doctor(data), "codecs", "fail")["message"]


@pytest.fixture
def score() -> Path:
    return Path(__file__).parents[3] / "examples" / "assets" / "score.m4a"


def test_filters_without_which_hdr_is_refused(doctor: Doctor, with_ffmpeg: Choose) -> None:
    with_ffmpeg(WITHOUT.format(encoder="zscale").replace("-encoders", "-filters"))
    assert "no zscale: HDR sources are refused" in found(doctor(), "filters", "warn")["message"]

"""Exact sizes: scaled, then cropped or padded, the same in every delivery; and what files say of colours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from actors.media.ffmpeg import find_ffmpeg
from farm.api import films
from farm.cli.main import run
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.spec.framing import Framing, framing
from jobs.spec.output import FilmFormat

FFV1 = {"container": "mkv", "codec": "ffv1"}
PNG = {"container": "png-sequence"}


@pytest.mark.parametrize(
    ("source", "size", "fit", "made", "said"),
    [
        ((1920, 1088), "1920x1080", "crop", (1920, 1088, ""), "cropped by 8 rows"),
        (
            (1920, 1088),
            "1920x1080",
            "pad",
            (1906, 1080, "lanczos"),
            "scaled to 1906x1080 by lanczos, padded by 14 columns",
        ),
        (
            (960, 544),
            "1920x1080",
            "crop",
            (1920, 1088, "lanczos"),
            "scaled to 1920x1088 by lanczos, cropped by 8 rows",
        ),
        (
            (768, 512),
            "1080x1920",
            "pad",
            (1080, 720, "lanczos"),
            "scaled to 1080x720 by lanczos, padded by 1200 rows",
        ),
        ((64, 64), "128x128", "pad", (128, 128, "lanczos"), "scaled to 128x128 by lanczos"),
        ((64, 64), "80x70", "pad", (70, 70, "lanczos"), "scaled to 70x70 by lanczos, padded by 10 columns"),
    ],
)
def test_frames_are_scaled_with_their_aspect_then_cropped_or_padded(
    source: tuple[int, int], size: str, fit: Any, made: tuple[int, int, str], said: str
) -> None:
    found = framing(FilmFormat(size=size, fit=fit), *source)
    width, height = map(int, size.split("x"))
    assert found == Framing(width, height, *made)
    assert found.text(*source) == f"{source[0]}x{source[1]} {said}"


def test_frames_of_the_size_stay_as_they_are() -> None:
    assert framing(FilmFormat(size="1920x1088"), 1920, 1088) is None
    assert framing(FilmFormat(), 1920, 1088) is None


def spec(out: Path, *deliveries: dict[str, Any], **output: Any) -> dict[str, Any]:
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 96, "height": 64, "steps": 1},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a", "num_frames": 9}}]}],
        "output": {"dir": str(out), "preset": "veryfast", "deliveries": list(deliveries), **output},
    }


def shown(film: Path) -> np.ndarray:
    """The third frame, uint8 `[H, W, 3]`."""
    if film.is_dir():
        return np.asarray(Image.open(film / "00000002.png"))
    picture = film.with_suffix(".third.png")
    command = [find_ffmpeg().path, "-v", "error", "-i", str(film), "-vf", "select=eq(n\\,2),format=rgb24"]
    subprocess.run([*command, "-frames:v", "1", "-y", str(picture)], check=True)
    return np.asarray(Image.open(picture))


def test_every_delivery_has_the_exact_size_and_the_same_pixels(tmp_path: Path) -> None:
    deliveries = [
        {"name": "{video}-whole", **PNG},
        {"name": "{video}-cropped", "size": "96x54", **PNG},
        {"name": "{video}-cropped", "size": "96x54", **FFV1},
        {"name": "{video}-small", "size": "50x50", "fit": "pad", **PNG},
        {"name": "{video}-small", "size": "50x50", "fit": "pad", **FFV1},
        {"name": "{video}-small", "size": "50x50", "fit": "pad"},
        {"name": "{video}-bicubic", "size": "192x120", "scaler": "bicubic", **PNG},
    ]
    found = {}
    for film in films(spec(tmp_path / "out", *deliveries), runs=str(tmp_path / "runs"), serial=True):
        found[Path(film.path).name] = shown(Path(film.path))
    whole = found["dawn-whole"]
    assert whole.shape == (64, 96, 3)
    assert np.array_equal(found["dawn-cropped"], whole[5:59])
    assert np.array_equal(found["dawn-cropped.mkv"], whole[5:59])
    small = found["dawn-small"]
    assert np.array_equal(found["dawn-small.mkv"], small)
    assert small.shape == found["dawn-small.mp4"].shape == (50, 50, 3)
    assert not small[:8].any()
    assert not small[41:].any()
    resized = Image.fromarray(whole).resize((50, 33), Image.Resampling.LANCZOS)
    assert np.abs(small[8:41].astype(int) - np.asarray(resized)).mean() < 2
    bicubic = np.asarray(Image.fromarray(whole).resize((192, 128), Image.Resampling.BICUBIC))[4:124]
    assert np.abs(found["dawn-bicubic"].astype(int) - bicubic).mean() < 2


@pytest.mark.parametrize(
    ("output", "place", "words"),
    [
        ({"size": "1919x1080"}, "output.size", "`size: 1918x1080`"),
        ({"size": "1920x1081"}, "output.size", "`size: 1920x1080`"),
        ({"size": "1919x1081", "pixel_format": "yuv444p", "container": "mov"}, "", ""),
        ({"size": "1920x1081", "container": "mov", "codec": "prores"}, "", ""),
        ({"size": "1919x1080", "container": "mov", "codec": "prores"}, "output.size", "a width"),
        ({"size": "1919x1081", "container": "mkv", "codec": "ffv1"}, "", ""),
        ({"size": "1920"}, "output.size", "1920x1080"),
        ({"size": "8x8"}, "output.size", "16 to 16384"),
        ({"size": "1920x99999"}, "output.size", "16 to 16384"),
    ],
)
def test_odd_sizes_are_refused_where_pixels_share_their_colour(
    output: dict[str, Any], place: str, words: str, tmp_path: Path
) -> None:
    data = spec(tmp_path / "out", **output)
    if not place:
        load_spec(data)
        return
    with pytest.raises(SpecError) as error:
        load_spec(data)
    (problem,) = error.value.problems
    assert problem.place == place
    assert words in f"{problem.rule}; {problem.remedy}"


def test_the_plan_says_what_becomes_of_the_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from jobs.parsing.yaml_events import yaml_text

    path = tmp_path / "film.yaml"
    path.write_text(yaml_text(spec(tmp_path / "out", size="64x64", fit="pad")))
    assert run(["plan", str(path), "--runs", str(tmp_path / "runs")]) == 0
    said = "dawn.mp4: mp4, h264, yuv420p, 64x64 (96x64 scaled to 64x43 by lanczos, padded by 21 rows)"
    assert said in capsys.readouterr().out


def test_files_say_their_colours(tmp_path: Path) -> None:
    deliveries = [
        {},
        {"codec": "hevc", "name": "{video}-hevc"},
        {"container": "mov", "codec": "prores"},
        {"container": "mov", "codec": "prores", "profile": "4444", "name": "{video}-4444"},
        FFV1,
    ]
    tags = {}
    for film in films(spec(tmp_path / "out", *deliveries), runs=str(tmp_path / "runs"), serial=True):
        command = [find_ffmpeg().path, "-hide_banner", "-i", film.path]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        (tags[Path(film.path).name],) = re.findall(
            r"Video: (\w+).*?(?:yuv\w+|bgr0)\(([^)]*?)(?:, prog|\))", said
        )
    assert tags == {
        "dawn.mp4": ("h264", "tv, bt709"),
        "dawn-hevc.mp4": ("hevc", "tv, bt709"),
        "dawn.mov": ("prores", "tv, bt709"),
        "dawn-4444.mov": ("prores", "tv, bt709"),
        "dawn.mkv": ("ffv1", "gbr/bt709/iec61966-2-1"),
    }

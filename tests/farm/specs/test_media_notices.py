"""What becomes of sources and sounds is said before the render."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.farm.specs.media_specs import (
    EXTEND,
    GENERATE,
    clip,
    continued,
    ffmpeg,
    heard,
    said,
    write_wav,
)


def test_frames_that_are_left_out_are_said(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", 79)
    (line,) = said(continued(path))
    assert line.startswith("v0: 6 of the 79 frames of clip.mp4 are left out at its start")
    assert "73 or 81" in line
    assert said(continued(clip(tmp_path / "fits.mp4", 73))) == ()
    source = {"video": str(path), "last_frames": 33}
    assert said({"source": source, "chunks": [EXTEND]}) == ()


def test_sound_that_is_in_no_film_is_said_with_what_keeps_it(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", 73, sound=True)
    (line,) = said(continued(path))
    assert "the sound of clip.mp4 is left out" in line
    audio = json.loads(line.partition("`sound: [{file: ")[2].partition("}]`")[0])
    kept = said(continued(path, sound=[{"file": audio}]))
    assert len(kept) == 1
    assert "ends 1.00 s before the film" in kept[0]
    assert said(continued(path, sound=[{"generate": True}])) == ()
    score = write_wav(tmp_path / "score.wav", np.full(48_000 * 5, 0.1, np.float32))
    (line, cut) = said(continued(path, sound=[{"file": str(score)}]))
    assert "no track of `sound` is it" in line
    assert "cut off" in cut


@pytest.mark.parametrize(("rate", "change"), [(25.0, "shown twice"), (12.0, "left out")])
def test_another_rate_is_said(rate: float, change: str, tmp_path: Path) -> None:
    lines = said(continued(clip(tmp_path / "clip.mp4", 100)), rate=rate)
    (line,) = [line for line in lines if "frames per second" in line]
    assert change in line
    assert "`frame_rate: 24` shows each once" in line


def test_a_variable_rate_is_said(tmp_path: Path) -> None:
    path = clip(tmp_path / "even.mp4", 100)
    ffmpeg("-i", path, "-vf", "select='not(eq(mod(n,13),5))'", "-fps_mode", "vfr", tmp_path / "phone.mp4")
    lines = said(continued(tmp_path / "phone.mp4"))
    assert any("phone.mp4 has no constant frame rate" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "offset", "found"),
    [
        (2.04, 0.0, ""),
        (2.09, 0.0, "the last 0.05 s of a.wav are cut off"),
        (5.0, 0.0, "the last 2.96 s of a.wav are cut off"),
        (1.0, 0.0, "a.wav ends 1.04 s before the film of 2.04 s"),
        (1.0, 0.5, "a.wav ends 0.54 s before the film of 2.04 s"),
        (3.0, -0.9583, ""),
        (3.0, -2.0, "a.wav ends 1.04 s before the film of 2.04 s"),
    ],
)
def test_sound_that_is_cut_or_padded_is_said(
    seconds: float, offset: float, found: str, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "a.wav", np.full(round(48_000 * seconds), 3000, np.int16), form=1)
    lines = said(heard(path, at=offset))
    assert [line for line in lines if found] == list(lines)
    assert all(found in line for line in lines)


def test_a_silent_file_is_said(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(48_000 * 3, np.int16), form=1)
    assert said(heard(path)) == (
        "v0: a.wav is silent as far as it is played. Give another file, or leave it out",
    )


def test_transparency_and_hdr_are_said(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (10, 20, 30, 40)).save(tmp_path / "logo.png")
    Image.new("RGBA", (64, 64), (10, 20, 30, 255)).save(tmp_path / "solid.png")
    images = {"first_image": str(tmp_path / "logo.png"), "last_image": str(tmp_path / "solid.png")}
    (line,) = said({"chunks": [{"generate": {**GENERATE["generate"], **images}}]})
    assert "logo.png are shown over black" in line
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc,format=yuv420p10le"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=24", "-frames:v", 33, "-vf", tags, "-c:v", "ffv1",
           tmp_path / "hdr.mkv")  # fmt: skip
    (line,) = said(continued(tmp_path / "hdr.mkv"))
    assert "hdr.mkv is HDR (PQ): it is tone-mapped to BT.709" in line


def test_films_that_share_a_change_share_its_line(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.mp4", 79)
    (line,) = said(continued(path), continued(path), continued(path))
    assert line.startswith("v0 and 2 more: 6 of the 79 frames")


def test_a_single_still_at_a_joint_is_said_with_what_pins_the_speed(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (64, 64)).save(tmp_path / name)
    before, at, behind = (
        {"image": str(tmp_path / name), "frame": frame, "hold": True}
        for name, frame in (("a.png", -9), ("b.png", -1), ("c.png", 7))
    )
    first, second = {"prompt": "a ball", "num_frames": 33}, {"prompt": "a ball", "num_new_frames": 32}

    def lines(
        here: list[dict[str, object]], there: list[dict[str, object]], rate: float = 24.0
    ) -> tuple[str, ...]:
        chunks = [{"generate": {**first, "images": here}}, {"extend": {**second, "images": there}}]
        return said({"chunks": chunks}, rate=rate)

    for here, there in (([at], []), ([before, at], []), ([at], [behind])):
        (line,) = lines(here, there)
        assert "one still alone is held at 1 joint (frame 32)" in line
        assert "`frame: -9`, and `frame: 7`" in line
    assert lines([before, at], [behind]) == ()
    held = {"video": str(clip(tmp_path / "clip.mp4", 25)), "frame": -17, "hold": True}
    assert lines([held], []) == ()
    (line,) = lines([held], [], rate=25.0)
    assert "clip.mp4 has 24 frames per second and the film 25" in line

"""The farm's own films, made anew in part from their files: on the command line, with either family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from actors.media.audio import Listen, read_audio
from actors.media.frames import Cut, read_video
from farm.cli.main import run
from jobs.frames import audio_sample

RATE, FRAMES, RAW = 24.0, 57, 48_000
LOSSLESS = {"container": "mkv", "codec": "ffv1", "sound": "pcm"}
DEFAULTS = {
    "width": 64,
    "height": 64,
    "frame_rate": 24,
    "sampler": "euler",
    "cfg": 1.0,
    "sigmas": [1.0, 0.7, 0.0],
}


def job(name: str, checkpoint: Path, video: dict[str, Any], sound: bool) -> dict[str, Any]:
    heard = {"sound": [{"generate": True}]} if sound else {}
    return {
        "version": 3,
        "name": name,
        "engine": {"checkpoint": str(checkpoint)},
        "defaults": DEFAULTS,
        "videos": [{"name": name, **video, **heard}],
        "output": LOSSLESS,
    }


def rendered(data: dict[str, Any], folder: Path) -> str:
    path = folder / f"{data['name']}.yaml"
    path.write_text(yaml.safe_dump(data))
    assert run(["render", str(path), "--serial", "--runs", str(folder / "runs")]) == 0
    return str(folder / "out" / f"{data['name']}.mkv")


def first_film(checkpoint: Path, folder: Path, sound: bool) -> str:
    chunks = [{"generate": {"prompt": "a red ball bounces", "num_frames": FRAMES}}]
    return rendered(job("first", checkpoint, {"chunks": chunks}, sound), folder)


def changed_frames(one: str, other: str) -> list[int]:
    cut = Cut(64, 64, RATE, FRAMES)
    return np.flatnonzero((read_video(one, cut) != read_video(other, cut)).any(axis=(1, 2, 3))).tolist()


def changed_samples(one: str, other: str) -> tuple[int, int]:
    listen = Listen(0, audio_sample(FRAMES, RAW, RATE), RAW)
    differs = np.abs(read_audio(one, listen) - read_audio(other, listen)).max(axis=0) > 1e-6
    at = np.flatnonzero(differs)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)


@pytest.fixture(scope="module")
def ltx2_film(small_ltx2: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return first_film(small_ltx2, tmp_path_factory.mktemp("first"), sound=True)


def test_a_silent_film_of_ltx_video(small_ltx_video: Path, tmp_path: Path) -> None:
    film = first_film(small_ltx_video, tmp_path, sound=False)
    retakes = [{"start": "1s", "stop": "1.2s", "prompt": "a blue ball"}]
    made = rendered(
        job("again", small_ltx_video, {"source": {"video": film}, "retakes": retakes}, False), tmp_path
    )
    assert set(range(17, 33)) <= set(changed_frames(film, made)) <= set(range(9, 41))


@pytest.mark.parametrize(
    ("own", "pictures", "sounds"),
    [
        pytest.param({}, True, True, id="both"),
        pytest.param({"sound": False}, True, False, id="pictures", marks=pytest.mark.long),
        pytest.param({"picture": False}, False, True, id="sound", marks=pytest.mark.long),
    ],
)
def test_a_film_of_ltx2_with_sound(
    small_ltx2: Path, ltx2_film: str, tmp_path: Path, own: dict[str, Any], pictures: bool, sounds: bool
) -> None:
    """Frames 17 to 32 and the fades around them, to the sample. Of one without the other `test_retakes.py`
    has the passes, and `tests/farm/test_retakes.py` films."""
    film = ltx2_film
    retakes = [{"start": "1s", "stop": "1.2s", "prompt": "a blue ball bounces", **own}]
    made = rendered(job("again", small_ltx2, {"source": {"video": film}, "retakes": retakes}, True), tmp_path)
    seen, heard = changed_frames(film, made), changed_samples(film, made)
    if pictures:
        assert set(range(17, 33)) <= set(seen) <= set(range(9, 41))
    else:
        assert seen == []
    if sounds:
        start, stop = (audio_sample(frame, RAW, RATE) for frame in (9, 41))
        assert start <= heard[0] < heard[1] <= stop
        assert heard[1] - heard[0] > RAW // 2
    else:
        assert heard == (0, 0)

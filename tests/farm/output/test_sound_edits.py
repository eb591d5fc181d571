"""A render whose sound is edited: no task is made again, and the film and what lies beside it are others."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farm.api import render
from farm.events import FilmDelivered, TaskCommitted
from farm.options import RenderOptions
from farm.specs.load import load
from farm.verbs.plan import PlanRequest, plan_job
from tests.farm.output.test_mix import LAST_BIT, heard
from tests.farm.output.test_stitch_sound import decoded_sound

RATE = 48_000
SHOTS = [
    {"name": "pier", "seconds": 1.0, "prompt": "a"},
    {"name": "boat", "seconds": 1.0, "prompt": "b"},
]


def spec(folder: Path, *sound: dict[str, Any], **mix: Any) -> dict[str, Any]:
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1, "num_frames": 17, "num_new_frames": 16},
        "videos": [{"name": "dawn", "shots": SHOTS, "sound": list(sound), "mix": mix}],
        "output": {"dir": str(folder / "out"), "container": "mkv"},
    }


def rendered(job: dict[str, Any], folder: Path) -> tuple[list[str], Path]:
    """The tasks that were computed, and the film."""
    events = list(render(job, runs=str(folder / "runs"), serial=True))
    (film,) = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    return [event.task for event in events if isinstance(event, TaskCommitted)], Path(film.path)


def still_to_do(job: dict[str, Any], folder: Path) -> dict[str, int]:
    report = plan_job(load(job, RenderOptions()), PlanRequest(str(folder / "runs")))
    return {row.stage: row.left for row in report.stages}


@pytest.fixture
def music(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "music.wav"
    samples = np.random.default_rng(3).integers(-8000, 8000, (2 * RATE, 2), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return {"file": str(path)}


def test_music_that_is_moved_needs_no_task(tmp_path: Path, music: dict[str, Any]) -> None:
    made = {"generate": True, "shot": "boat"}
    tasks, film = rendered(spec(tmp_path, made, music), tmp_path)
    assert tasks
    first = decoded_sound(film)
    moved = spec(tmp_path, {**made, "gain_db": -3.0}, {**music, "at": 0.5, "fade_out": 0.2, "duck": True})
    assert set(still_to_do(moved, tmp_path).values()) == {0}
    tasks, film = rendered(moved, tmp_path)
    second = decoded_sound(film)
    assert tasks == []
    assert second.shape == first.shape
    assert not second[:, : RATE // 2].any()
    silent = spec(tmp_path, made)
    assert set(still_to_do(silent, tmp_path).values()) == {0}
    assert still_to_do(spec(tmp_path, music), tmp_path)["sample"] > 0


def test_stems_lie_beside_the_film_and_add_up_to_it(tmp_path: Path, music: dict[str, Any]) -> None:
    job = spec(tmp_path, {"generate": True}, {**music, "name": "score", "gain_db": -6.0}, stems=True)
    _, film = rendered(job, tmp_path)
    names = {path.name for path in film.parent.iterdir()}
    assert names == {"dawn.mkv", "dawn.generated.wav", "dawn.score.wav"}
    stems = [heard(film.with_name(name), 2) for name in ("dawn.generated.wav", "dawn.score.wav")]
    assert np.abs(sum(stems) - decoded_sound(film)).max() <= LAST_BIT
    before = film.stat().st_mtime_ns
    rendered(job, tmp_path)
    assert film.stat().st_mtime_ns == before
    film.with_name("dawn.score.wav").unlink()
    tasks, _ = rendered(job, tmp_path)
    assert tasks == []
    assert film.with_name("dawn.score.wav").exists()

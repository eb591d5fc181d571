"""A film with generated sound, from the command line to the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from actors.media.audio import Listen, read_audio
from farm.cli.main import run

if TYPE_CHECKING:
    import pytest

FILM: dict[str, Any] = {
    "name": "sea",
    "defaults": {
        "width": 64,
        "height": 64,
        "frame_rate": 24,
        "sampler": "euler",
        "cfg": 1.0,
        "sigmas": [1.0, 0.725, 0.0],
    },
    "videos": [
        {
            "name": "dawn",
            "sound": [{"generate": True}],
            "chunks": [
                {"generate": {"prompt": "a red ball bounces", "num_frames": 33}},
                {
                    "extend": {
                        "prompt": "a ball keeps bouncing",
                        "overlap_frames": 16,
                        "num_new_frames": 24,
                    }
                },
            ],
        }
    ],
    "output": {"container": "mkv"},
}


def test_a_film_of_two_chunks_has_sound_as_long_as_its_pictures(
    small_ltx2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {**FILM, "engine": {"checkpoint": str(small_ltx2)}}
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(spec))
    monkeypatch.chdir(tmp_path)
    assert run(["render", str(path), "--serial", "--runs", str(tmp_path / "runs")]) == 0
    (film,) = tmp_path.glob("out/dawn.mkv")
    samples = read_audio(str(film), Listen(0, 2 * 48000 + 18000, 48000))
    # 57 frames are 2.375 s; 59 latents are 4 x 59 - 3 mel frames, 2.33 s, and the last one sounds on.
    heard = samples[:, : 48000 * 2375 // 1000]
    parts = [part.std() for part in (heard[:, i : i + 1000] for i in range(0, heard.shape[1], 1000))]
    assert min(parts) > 0

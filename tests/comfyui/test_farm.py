"""The farm on `engine: comfyui`: the film is the same on every topology."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.comfyui, pytest.mark.ray]

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "a red ball bounces over a teal background"


@pytest.fixture(scope="module")
def comfyui() -> Path:
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    root = Path(os.environ["COMFYUI_PATH"])
    minor = int((root / "comfyui_version.py").read_text().rsplit('"', 2)[1].split(".")[1])
    if minor < 25:
        pytest.skip("cores before 0.25 build the VAE wider than the tiny model's")
    return root


def spec(comfyui: Path, folder: Path) -> dict[str, Any]:
    def video(name: str, seed: int) -> dict[str, Any]:
        extend = {"prompt": "the red ball keeps bouncing", "num_new_frames": 16, "overlap_frames": 16}
        generate = {"prompt": PROMPT, "num_frames": 25, "seed": seed}
        return {"name": name, "chunks": [{"generate": generate}, {"extend": extend}]}

    return {
        "version": 1,
        "name": "two-ways",
        "engine": {"name": "comfyui", "comfyui": str(comfyui)},
        "defaults": {"width": 64, "height": 64, "steps": 3},
        "upscale": {"steps": 2, "denoise": 0.5},
        "videos": [video("one", 1), video("two", 2)],
        "output": {"dir": str(folder / "out")},
        "run": {"threads": 1},
    }


def films(comfyui: Path, folder: Path, *how: str) -> dict[str, str]:
    """SHA-256 of every film, rendered in a folder of its own."""
    folder.mkdir()
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(spec(comfyui, folder)))
    done = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "render", str(path), "--runs", str(folder / "runs"), *how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    state = json.loads((folder / "runs" / "two-ways" / "state.json").read_text())
    assert state["outcome"] == "done"
    return {film["name"]: film["sha256"] for film in state["videos"]}


@pytest.mark.timeout(1800)
def test_two_topologies_and_the_serial_reference_give_equal_films(comfyui: Path, tmp_path: Path) -> None:
    serial = films(comfyui, tmp_path / "serial", "--serial")
    assert set(serial) == {"one", "two"}
    assert films(comfyui, tmp_path / "mono", "--topology", "mono", "--gpus", "2") == serial
    staged = "sample=1,upscale+decode=1"
    assert films(comfyui, tmp_path / "staged", "--topology", staged, "--gpus", "2") == serial

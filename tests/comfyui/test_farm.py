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
    return Path(os.environ["COMFYUI_PATH"])


@pytest.fixture(scope="module")
def models(comfyui: Path, request: pytest.FixtureRequest, tmp_path_factory: Any) -> dict[str, Any]:
    """Parts of the spec: the bundled model, upscaled; cores before 0.32 take random weights, and the first of
    them cannot upscale."""
    upscale = {"steps": 2, "denoise": 0.5}
    minor = int((comfyui / "comfyui_version.py").read_text().rsplit('"', 2)[1].split(".")[1])
    if minor >= 32:
        return {"engine": {}, "upscale": upscale}
    core = request.getfixturevalue("core")
    from comfyui_checkpoints import write_prompted, write_upsampler

    folder = tmp_path_factory.mktemp("random")
    checkpoint = {"checkpoint": str(write_prompted(folder / "random.safetensors"))}
    if not core.has("LTXVLatentUpsampler"):
        return {"engine": checkpoint}
    upsampler = write_upsampler(folder / "upsampler.safetensors")
    return {"engine": {**checkpoint, "upscale_model": str(upsampler)}, "upscale": upscale}


def spec(models: dict[str, Any], folder: Path) -> dict[str, Any]:
    def video(name: str, seed: int) -> dict[str, Any]:
        extend = {"prompt": "the red ball keeps bouncing", "num_new_frames": 16, "overlap_frames": 16}
        generate = {"prompt": PROMPT, "num_frames": 25, "seed": seed}
        return {"name": name, "chunks": [{"generate": generate}, {"extend": extend}]}

    return {
        "version": 1,
        "name": "two-ways",
        **models,
        "engine": {"name": "comfyui", **models["engine"]},
        "defaults": {"width": 64, "height": 64, "steps": 3},
        "videos": [video("one", 1), video("two", 2)],
        "output": {"dir": str(folder / "out")},
        "run": {"threads": 1},
    }


def films(document: dict[str, Any], folder: Path, *how: str) -> dict[str, str]:
    """SHA-256 of every film, rendered in a folder of its own."""
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(document))
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
def test_two_topologies_and_the_serial_reference_give_equal_films(
    models: dict[str, Any], tmp_path: Path
) -> None:
    def rendered(name: str, *how: str) -> dict[str, str]:
        folder = tmp_path / name
        folder.mkdir()
        return films(spec(models, folder), folder, *how)

    serial = rendered("serial", "--serial")
    assert set(serial) == {"one", "two"}
    assert rendered("mono", "--topology", "mono", "--gpus", "2") == serial
    staged = "sample=1,upscale+decode=1" if "upscale" in models else "sample=1,decode=1"
    assert rendered("staged", "--topology", staged, "--gpus", "2") == serial

"""ComfyUI's own main.py with the nodes installed: they load, run a workflow, and make the farm's latents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_farm import ROOT, artifacts, render_serial, sampled_chain
from comfyui_server import Server, make_base, running

pytestmark = pytest.mark.comfyui

WORKFLOW = ROOT / "examples" / "comfyui" / "long_take_api.json"
THREADS = 1
SMALL = {"num_frames": 33, "num_new_frames": 24, "steps": 4}
OTHER_PACK = """
class Other:
    CATEGORY, FUNCTION, RETURN_TYPES = "other", "run", ("INT",)
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    def run(self):
        return (1,)
NODE_CLASS_MAPPINGS = {"OtherPackNode": Other}
"""


@pytest.fixture(scope="module")
def comfyui() -> Path:
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    return Path(os.environ["COMFYUI_PATH"])


@pytest.fixture(scope="module")
def server(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = make_base(tmp_path_factory.mktemp("base"))
    # `farm nodes install` as on a ComfyUI: the base folder stands in for one.
    (base / "main.py").touch()
    (base / "comfy").mkdir()
    command = [sys.executable, "-m", "farm.cli.main", "nodes", "install", "--comfyui", str(base)]
    subprocess.run([*command, "--tiny-model"], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    other = base / "custom_nodes" / "other"
    other.mkdir()
    (other / "__init__.py").write_text(OTHER_PACK)
    with running(comfyui, base, THREADS) as server:
        yield server


def test_the_nodes_load_beside_another_pack(server: Server) -> None:
    for name in ("RSLTXVGenerate", "RSLTXVExtend", "RSLTXVTinyPrompt", "OtherPackNode"):
        assert name in server.get(f"object_info/{name}")
    described = server.get("object_info/RSLTXVGenerate")["RSLTXVGenerate"]
    assert described["category"] == "rs-nodes"
    assert described["display_name"] == "RS LTXV Generate"


@pytest.fixture(scope="module")
def checkpoint(server: Server, comfyui: Path, request: pytest.FixtureRequest) -> Path | None:
    """None for the bundled model; cores before 0.32 take random weights behind its text encoder."""
    if _version(comfyui) >= (0, 32):
        return None
    request.getfixturevalue("core")
    from comfyui_checkpoints import write_prompted

    return write_prompted(server.base / "models" / "checkpoints" / "random.safetensors")


Workflow = dict[str, Any]


@pytest.fixture
def take(checkpoint: Path | None) -> Workflow:
    """The example: Generate, two Extends, and what keeps them."""
    workflow = json.loads(WORKFLOW.read_text())
    if checkpoint is not None:
        workflow["1"]["inputs"]["ckpt_name"] = checkpoint.name
    for node in workflow.values():
        node["inputs"] |= {name: value for name, value in SMALL.items() if name in node["inputs"]}
    return workflow


def test_its_latents_are_the_farms(
    server: Server, take: Workflow, checkpoint: Path | None, tmp_path: Path
) -> None:
    outputs = server.run(take)
    assert outputs["7"]["images"]
    by_server = _saved(server, outputs, "6")
    assert by_server.shape == (1, 128, 11, 4, 4)
    assert np.array_equal(by_server, sampled_chain(_rendered(take, checkpoint, tmp_path), "take", "take", 2))


def test_a_film_with_sound(server: Server, take: Workflow, checkpoint: Path | None, tmp_path: Path) -> None:
    """The sound of Generate goes on in both Extends."""
    if checkpoint is not None:
        pytest.skip("the bundled model, which makes sound, needs 0.32")
    loaded = {"ckpt_name": take["1"]["inputs"]["ckpt_name"]}
    take["8"] = {"class_type": "LTXVAudioVAELoader", "inputs": loaded}
    joined = {"video_latent": ["3", 0], "audio_latent": ["3", 2]}
    take["9"] = {"class_type": "LTXVConcatAVLatent", "inputs": joined}
    take["10"] = {"class_type": "LTXVSeparateAVLatent", "inputs": {"av_latent": ["5", 0]}}
    for name in ("3", "4", "5"):
        take[name]["inputs"] |= {"audio_vae": ["8", 0], "seed": 20 + int(name)}
    take["4"]["inputs"]["latent"] = ["9", 0]
    take["6"]["inputs"]["samples"] = ["10", 0]
    sound = {"samples": ["5", 2], "filename_prefix": "ltx-farm/sound"}
    take["11"] = {"class_type": "SaveLatent", "inputs": sound}
    outputs = server.run(take)
    runs = _rendered(take, None, tmp_path)
    assert np.array_equal(_saved(server, outputs, "6"), sampled_chain(runs, "take", "take", 2))
    heard, shared = _saved(server, outputs, "11"), 9
    first, second, third = (each["audio_latents"] for each in artifacts(runs, "take", "sample", "take"))
    whole = [first[:, :, :-shared], second[:, :, :-shared], third]
    assert first.std() > 0.1
    assert np.array_equal(heard, np.concatenate(whole, axis=2))


def test_an_interrupted_take_is_made_again(
    server: Server, take: Workflow, checkpoint: Path | None, tmp_path: Path
) -> None:
    for name in ("3", "4", "5"):
        take[name]["inputs"] |= {"seed": 30 + int(name), "steps": 12}
    stopped = server.queue(take)
    while not server.get("queue")["queue_running"]:
        time.sleep(0.05)
    time.sleep(1.0)
    server.post("interrupt", {})
    with pytest.raises(AssertionError, match="execution_interrupted"):
        server.finished(stopped)
    by_server = _saved(server, server.run(take), "6")
    assert np.array_equal(by_server, sampled_chain(_rendered(take, checkpoint, tmp_path), "take", "take", 2))


def test_a_queue_of_two(server: Server, take: Workflow, checkpoint: Path | None, tmp_path: Path) -> None:
    other = json.loads(json.dumps(take))
    for name in ("3", "4", "5"):
        take[name]["inputs"]["seed"] = 40 + int(name)
        other[name]["inputs"]["seed"] = 50 + int(name)
    queued = [server.queue(take), server.queue(other)]
    for number, (prompt, workflow) in enumerate(zip(queued, (take, other), strict=True)):
        by_server = _saved(server, server.finished(prompt), "6")
        folder = tmp_path / str(number)
        folder.mkdir()
        runs = _rendered(workflow, checkpoint, folder)
        assert np.array_equal(by_server, sampled_chain(runs, "take", "take", 2))


def _version(comfyui: Path) -> tuple[int, int]:
    text = (comfyui / "comfyui_version.py").read_text()
    major, minor, *_ = text.rsplit('"', 2)[1].split(".")
    return int(major), int(minor)


def _saved(server: Server, outputs: dict[str, Any], node: str) -> np.ndarray:
    """What a Save Latent kept."""
    from safetensors.numpy import load_file

    (file,) = outputs[node]["latents"]
    return load_file(server.base / "output" / file["subfolder"] / file["filename"])["latent_tensor"]


def _rendered(workflow: Workflow, checkpoint: Path | None, folder: Path) -> Path:
    """The runs of the workflow's spec, rendered in `folder`."""
    return render_serial(_imported(workflow, checkpoint, folder), folder)


def _imported(workflow: dict[str, Any], checkpoint: Path | None, folder: Path) -> dict[str, Any]:
    """What `farm import` makes of the workflow."""
    from farm.workflows.spec import import_workflow

    path = folder / "take_api.json"
    path.write_text(json.dumps(workflow))
    spec = import_workflow(path, "take").spec
    if checkpoint is not None:
        spec["engine"]["checkpoint"] = str(checkpoint)
    return {**spec, "output": {"dir": str(folder / "out")}, "run": {"threads": THREADS}}

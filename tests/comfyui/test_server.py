"""ComfyUI's own main.py with the nodes installed: they load, run a workflow, and make the farm's latents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_farm import ROOT, render_serial, sampled_chain
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


def test_its_latents_are_the_farms(server: Server, checkpoint: Path | None, tmp_path: Path) -> None:
    workflow = json.loads(WORKFLOW.read_text())
    if checkpoint is not None:
        workflow["1"]["inputs"]["ckpt_name"] = checkpoint.name
    for node in workflow.values():
        node["inputs"] |= {name: value for name, value in SMALL.items() if name in node["inputs"]}
    outputs = server.run(workflow)
    by_server = _saved_latent(server)
    assert outputs["7"]["images"]
    runs = render_serial(_imported(workflow, checkpoint, tmp_path), tmp_path)
    by_farm = sampled_chain(runs, "take", "take", overlap=2)
    assert by_server.shape == by_farm.shape == (1, 128, 11, 4, 4)
    assert np.array_equal(by_server, by_farm)


def _version(comfyui: Path) -> tuple[int, int]:
    text = (comfyui / "comfyui_version.py").read_text()
    major, minor, *_ = text.rsplit('"', 2)[1].split(".")
    return int(major), int(minor)


def _saved_latent(server: Server) -> np.ndarray:
    from safetensors.numpy import load_file

    (path,) = (server.base / "output").rglob("*.latent")
    return load_file(path)["latent_tensor"]


def _imported(workflow: dict[str, Any], checkpoint: Path | None, folder: Path) -> dict[str, Any]:
    """What `farm import` makes of the workflow."""
    from farm.workflows.spec import import_workflow

    path = folder / "take_api.json"
    path.write_text(json.dumps(workflow))
    spec = import_workflow(path, "take").spec
    if checkpoint is not None:
        spec["engine"]["checkpoint"] = str(checkpoint)
    return {**spec, "output": {"dir": str(folder / "out")}, "run": {"threads": THREADS}}

"""Workflows that core's own executor runs, and the job specs that are made of them: equal latents."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from comfyui_farm import render_here, sampled_chain
from PIL import Image

pytestmark = pytest.mark.comfyui

Workflow = dict[str, Any]
Execute = Callable[[Workflow], np.ndarray]

WIDTH, HEIGHT = 64, 64
NUMBERS = {"steps": 2, "cfg": 2.5, "frame_rate": 25.0}
PROMPT = "a red ball bounces"


class NoServer:
    """What the executor tells of its progress, and nobody hears."""

    client_id = None
    last_node_id = None
    last_prompt_id = ""
    sockets_metadata: dict[str, Any] = {}  # noqa: RUF012

    def send_sync(self, *_: Any) -> None:
        """Nobody listens."""


@pytest.fixture
def execute(core: Any, folder: Path, tmp_path: Path) -> Execute:
    """Runs a workflow in core's executor, and gives the latents that its Save Latent kept."""
    import execution
    import folder_paths
    import nodes

    from farm.nodes import NODE_CLASS_MAPPINGS

    if "cache_args" not in inspect.signature(execution.PromptExecutor).parameters:
        pytest.skip("the executor of this core takes other arguments")
    folder_paths.set_output_directory(str(tmp_path / "output"))
    folder_paths.set_input_directory(str(tmp_path / "input"))
    for kind in ("diffusion_models", "text_encoders", "vae", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    folder_paths.filename_list_cache.clear()

    def run(workflow: Workflow) -> np.ndarray:
        from safetensors.numpy import load_file

        ours = {kind: NODE_CLASS_MAPPINGS.get(kind) or core.node(kind) for kind in kinds(workflow)}
        nodes.NODE_CLASS_MAPPINGS.update(ours)
        memory = {"lru": 0, "ram": 0, "ram_inactive": 0}
        executor = execution.PromptExecutor(
            NoServer(), cache_type=execution.CacheType.CLASSIC, cache_args=memory
        )
        ends = [key for key, node in workflow.items() if node["class_type"] == "SaveLatent"]
        executor.execute(workflow, "prompt", {}, ends)
        assert executor.success, executor.status_messages
        (path,) = (tmp_path / "output").rglob("*.latent")
        return load_file(path)["latent_tensor"]

    return run


def kinds(workflow: Workflow) -> set[str]:
    return {node["class_type"] for node in workflow.values()}


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[Workflow, int], np.ndarray]:
    """Renders the spec of a workflow, and gives its chain."""

    def render(workflow: Workflow, overlap: int) -> np.ndarray:
        from farm.workflows.spec import import_workflow

        path = tmp_path / "take.json"
        path.write_text(json.dumps(workflow))
        made = import_workflow(path, "take", str(tmp_path))
        assert made.whole, made.gaps
        output = {"dir": str(tmp_path / "out")}
        document = yaml.safe_load(made.text) | {"output": output, "run": {"threads": 1}}
        return sampled_chain(render_here(document, tmp_path), "take", "take", overlap)

    return render


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def take(models: dict[str, Any], **first: Any) -> Workflow:
    """Generate, two Extends and what keeps the latents."""
    overlap = {"num_new_frames": 16, "overlap_frames": 16, "overlap_strength": 0.9}
    shape = {"width": WIDTH, "height": HEIGHT, "num_frames": 17}
    return {
        "30": node("RSLTXVGenerate", **models, **NUMBERS, **shape, seed=5, **first),
        "31": node("RSLTXVExtend", **models, **NUMBERS, **overlap, latent=["30", 0], seed=6),
        "32": node("RSLTXVExtend", **models, **NUMBERS, **overlap, latent=["31", 0], seed=7, ffn_chunks=2),
        "33": node("SaveLatent", samples=["32", 0], filename_prefix="take"),
    }


def test_a_checkpoint_with_loras_a_picture_and_noise_levels(
    folder: Path, tmp_path: Path, execute: Execute, imported: Any
) -> None:
    from comfyui_checkpoints import write_lora, write_parts, write_prompted

    write_prompted(folder / "prompted.safetensors")
    write_lora(folder / "one.safetensors")
    write_lora(folder / "two.safetensors", rank=2)
    write_parts(folder)
    (tmp_path / "input").mkdir()
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input" / "first.png")
    models = {"model": ["12", 0], "vae": ["13", 0], "positive": ["14", 0], "negative": ["14", 1]}
    workflow = {
        "10": node("CheckpointLoaderSimple", ckpt_name="prompted.safetensors"),
        "11": node(
            "LoraLoader", model=["10", 0], clip=["10", 1], lora_name="one.safetensors", strength_model=0.3,
            strength_clip=0.0,
        ),
        "12": node("LoraLoaderModelOnly", model=["11", 0], lora_name="two.safetensors", strength_model=-0.2),
        "13": node("VAELoader", vae_name="ltxv_vae.safetensors"),
        "14": node("RSLTXVTinyPrompt", prompt=PROMPT, negative="a blue ball"),
        "15": node("LoadImage", image="first.png"),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("ManualSigmas", sigmas="1, .8, 0.3, 0."),
        **take(models, first_image=["15", 0], crf=0, sampler=["16", 0], sigmas=["17", 0]),
    }  # fmt: skip
    by_core = execute(workflow)
    by_farm = imported(workflow, 2)
    assert by_core.shape == by_farm.shape == (1, 128, 7, HEIGHT // 32, WIDTH // 32)
    assert np.array_equal(by_core, by_farm)


def test_the_parts_of_ltx_2_and_prompts_in_nodes(
    core: Any, folder: Path, execute: Execute, imported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_checkpoints import write_av_parts
    from comfyui_text import shrink_gemma, write_gemma, write_projection

    if core.lacks("ltx-2.5"):
        pytest.skip(
            "cores before 0.32 build the projection for the full width of Gemma, whatever the file has"
        )
    shrink_gemma(monkeypatch)
    write_gemma(folder / "gemma.safetensors")
    write_projection(folder / "projection.safetensors")
    write_av_parts(folder)
    models = {"model": ["10", 0], "vae": ["12", 0], "positive": ["13", 0], "negative": ["13", 1]}
    workflow = {
        "10": node("UNETLoader", unet_name="ltxav_model.safetensors", weight_dtype="default"),
        "11": node(
            "DualCLIPLoader", clip_name1="gemma.safetensors", clip_name2="projection.safetensors", type="ltxv"
        ),
        "12": node("VAELoader", vae_name="ltxav_vae.safetensors"),
        "13": node("LTXVConditioning", positive=["14", 0], negative=["15", 0], frame_rate=25.0),
        "14": node("CLIPTextEncode", clip=["11", 0], text=PROMPT),
        "15": node("CLIPTextEncode", clip=["11", 0], text="low quality"),
        **take(models),
    }
    by_core = execute(workflow)
    assert np.array_equal(by_core, imported(workflow, 2))

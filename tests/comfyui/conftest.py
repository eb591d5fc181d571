"""One ComfyUI per test process: the checkout in COMFYUI_PATH, on the CPU, with random-weight tiny models."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent / "kit"))

from comfyui_kit import EXTEND, GENERATE, Kit, prompt

ALLOWED_SKIPS = {
    "0.3.64": {
        "test_09_upscale": "upscale",
        "test_11_audio": "audio",
        "test_13_full_pipeline_frees_vram": "upscale",
    },
    "0.29.0": {"test_11_audio": "ltx-2"},
}
"""The exact list: a check may be skipped where the core lacks the feature, and nowhere else."""


@pytest.fixture(scope="session")
def core() -> Any:
    root = os.environ.get("COMFYUI_PATH")
    if not root:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    import torch

    from actors.engines.comfyui.core.boot import BootOptions, boot
    from actors.engines.comfyui.core.nodes import Core

    torch.set_num_threads(1)
    boot(BootOptions(Path(root), device="cpu"))
    return Core.current()


@pytest.fixture
def needs(core: Any, request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Skip where this core lacks a feature, but only if the list says so."""

    def require(feature: str) -> None:
        missing = core.lacks(feature)
        if not missing:
            return
        allowed = ALLOWED_SKIPS.get(core.version, {}).get(request.node.originalname)
        if allowed is not None and allowed != feature:
            pytest.fail(f"{request.node.name} may be skipped for {allowed}, not for {feature}")
        if allowed is None and request.node.originalname.startswith("test_") and _is_check(request):
            pytest.fail(f"ComfyUI {core.version} lacks {missing}, and this check may not be skipped there")
        pytest.skip(f"ComfyUI {core.version} lacks {', '.join(missing)}")

    return require


def _is_check(request: pytest.FixtureRequest) -> bool:
    return request.node.path.name == "test_checks.py"


@pytest.fixture(scope="session")
def folder(core: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001  for its effect
    """Holds the generated files, and is one of ComfyUI's model folders."""
    import folder_paths

    folder = tmp_path_factory.mktemp("models")
    for kind in ("checkpoints", "latent_upscale_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    return folder


@pytest.fixture(scope="session")
def ltxv(folder: Path) -> Kit:
    from comfyui_checkpoints import TEXT_DIM, write_ltxv

    return _kit(write_ltxv(folder / "ltxv.safetensors"), TEXT_DIM)


@pytest.fixture(scope="session")
def ltxav(core: Any, folder: Path) -> tuple[Kit, Any]:
    """An audio-video model, and its audio VAE."""
    from comfyui_checkpoints import TEXT_DIM, write_ltxav

    path = write_ltxav(folder / "ltxav.safetensors")
    return _kit(path, 2 * TEXT_DIM), core.call("LTXVAudioVAELoader", ckpt_name=path.name)[0]


@pytest.fixture(scope="session")
def upscale_model(core: Any, folder: Path) -> Any:
    from comfyui_checkpoints import write_upsampler

    path = write_upsampler(folder / "upsampler.safetensors")
    return core.call("LatentUpscaleModelLoader", model_name=path.name)[0]


@pytest.fixture(scope="session")
def tiny(core: Any, folder: Path) -> tuple[Any, Any, Any]:
    """(MODEL, VAE, VAE of the sound), by core's own loaders of single files."""
    if core.lacks("ltx-2.5"):
        pytest.skip("cores before 0.32 know no keyframes, which the tiny model marks")
    import comfy.sd

    from actors.models import TINY_CHECKPOINT

    model, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(TINY_CHECKPOINT))
    assert type(model.model).__name__ == "LTXAV"
    (folder / "tiny.safetensors").symlink_to(TINY_CHECKPOINT)
    return model, vae, core.call("LTXVAudioVAELoader", ckpt_name="tiny.safetensors")[0]


@pytest.fixture(scope="session")
def deaf_to_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model without what its sound takes from its picture: core from 0.31 on lets it hear of the
    picture as the block has changed it, Lightricks and diffusers as it was before."""
    from safetensors.torch import safe_open, save_file

    from actors.models import TINY_CHECKPOINT

    with safe_open(TINY_CHECKPOINT, framework="pt") as file:
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
        metadata = file.metadata()
    for name in names:
        if "video_to_audio_attn.to_out.0." in name:
            tensors[name].zero_()
    path = tmp_path_factory.mktemp("deaf") / "tiny.safetensors"
    save_file(tensors, path, metadata)
    return path


def _kit(path: Path, text_dim: int) -> Kit:
    import comfy.sd

    model, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path))
    return Kit(model, vae, prompt(1, text_dim), prompt(2, text_dim))


@pytest.fixture
def conditioning(ltxv: Kit) -> Any:
    """The kit's prompt as an encode task stores it."""
    from actors.engines.comfyui.text import pack_pair

    return pack_pair((ltxv.positive, ltxv.negative))


@pytest.fixture
def generate(ltxv: Kit) -> Callable[..., Any]:
    """RSLTXVGenerate on the random model: small, three steps."""
    from farm.nodes import NODE_CLASS_MAPPINGS

    def run(**inputs: Any) -> Any:
        node: Any = NODE_CLASS_MAPPINGS["RSLTXVGenerate"]()
        return node.generate(**{**ltxv.inputs, **GENERATE, **inputs})

    return run


@pytest.fixture
def extend(ltxv: Kit) -> Callable[..., Any]:
    """RSLTXVExtend on the random model: 16 frames more, three steps."""
    from farm.nodes import NODE_CLASS_MAPPINGS

    def run(latent: Any, **inputs: Any) -> Any:
        node: Any = NODE_CLASS_MAPPINGS["RSLTXVExtend"]()
        return node.extend(**{**ltxv.inputs, **EXTEND, "latent": latent, **inputs})

    return run


@pytest.fixture
def image() -> Any:
    """IMAGE of another size than the clip's."""
    import torch

    return torch.rand(1, 100, 150, 3, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def soundtrack() -> dict[str, Any]:
    """Four seconds of stereo noise."""
    import torch

    noise = torch.randn(1, 2, 4 * 44100, generator=torch.Generator().manual_seed(4)) * 0.1
    return {"waveform": noise, "sample_rate": 44100}


@pytest.fixture
def model_calls(monkeypatch: pytest.MonkeyPatch, core: Any) -> list[dict[str, Any]]:  # noqa: ARG001  for its effect
    """The keyword arguments of every call of the diffusion model."""
    from comfy.ldm.lightricks.model import LTXVModel

    calls: list[dict[str, Any]] = []
    forward = LTXVModel.forward

    def counted(self: Any, x: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append({"x": x, "timestep": timestep, **kwargs})
        return forward(self, x, timestep, *args, **kwargs)

    monkeypatch.setattr(LTXVModel, "forward", counted)
    return calls

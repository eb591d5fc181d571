"""LTX-2, 2.3 and 2.5 with random weights, reduced: one checkpoint, or files of their own for the parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from comfyui_checkpoints import _random, _statistics, write_upsampler
from comfyui_text import LAYERS, WIDTH, shrink_gemma, shrink_gemma_4, write_gemma, write_gemma_4
from safetensors.torch import save_file

from tests.official.ltx2_files import PREFIX, _drawn, metadata, shapes

if TYPE_CHECKING:
    import pytest

Engine = dict[str, Any]
Tensors = dict[str, torch.Tensor]

VERSIONS = ("2.0", "2.3", "2.5")
FORMS = ("single", "split")
PROJECTION, VAE = "text_embedding_projection.", "vae."
SOUND = ("audio_vae.", "vocoder.")
DIFFUSION_DECODER = {
    "in_channels": 128,
    "out_channels": 3,
    "patch_size": 4,
    "head_dim": 16,
    "stage_channels": [128, 64, 32, 32, 16],
    "stage_depths": [1, 1, 1, 1, 2],
    "stage_kernels": [[3, 7, 7], [3, 7, 7], [3, 5, 5], [3, 5, 5], [11, 11, 11]],
    "upsamples": [[[1, 2, 2], 2], [[2, 1, 1], 2], [[2, 2, 2], 1], [[2, 2, 2], 2]],
    "stage5_kernel": [11, 11, 11],
    "t_emb_dim": 32,
    "default_num_inference_steps": 1,
    "timestep_scale_multiplier": 1000.0,
}


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core builds both text encoders from configurations of its own."""
    shrink_gemma(monkeypatch)
    shrink_gemma_4(monkeypatch)


def write_release(folder: Path, version: str, form: str) -> Engine:
    """The `engine` section of a spec that names the files, which are written where they are missing."""
    tensors, told = _tensors(version), metadata(version, "narrow")
    where = folder / f"{version}-{form}"
    where.mkdir()
    upscaler = {"upscale_model": str(write_upsampler(where / f"upscaler-{version}-{form}.safetensors"))}
    write = _single if form == "single" else _split
    return {"name": "comfyui", **upscaler, **write(where, version, tensors, told)}


def write_diffusion_vae(path: Path) -> Path:
    """LTX-2.5's other video VAE: its decoder denoises pixels."""
    from comfy.ldm.lightricks.vae.na_diffusion_decoder import CausalDiffusionVAE

    blocks = json.loads(metadata("2.5", "narrow")["config"])["vae"]["encoder_blocks"]
    config = {
        "_class_name": "CausalDiffusionVAE",
        "dims": 3,
        "model_output_type": "x0",
        "encoder": {"blocks": blocks, "patch_size": 4, "latent_log_var": "constant", "base_channels": 128},
        "decoder": DIFFUSION_DECODER,
    }
    tensors = _random(CausalDiffusionVAE(config), "", seed=9)
    tensors |= _statistics("per_channel_statistics.", tensors)
    return _save(tensors, path, {"config": json.dumps({"vae": config})})


def _tensors(version: str) -> Tensors:
    """All of a release, named as it is published. Core asks for as many states as Gemma has layers."""
    generator = torch.Generator().manual_seed(7)
    found = shapes(version, "narrow")
    for key, shape in found.items():
        if key.startswith(PROJECTION) and key.endswith("weight"):
            found[key] = (shape[0], WIDTH * (LAYERS + 1))
    return {key: _drawn(key, shape, generator) for key, shape in found.items()}


def _single(folder: Path, version: str, tensors: Tensors, told: dict[str, str]) -> Engine:
    path = _save(tensors, folder / f"ltx-{version}.safetensors", told)
    text = _gemma(folder / f"gemma-{version}-single.safetensors", version)
    return {"checkpoint": str(path), "audio_vae": str(path), "text_encoder": str(text)}


def _split(folder: Path, version: str, tensors: Tensors, told: dict[str, str]) -> Engine:
    """2.5's text encoder holds its projection; that of the others stands in a file of its own."""

    def part(name: str, *prefixes: str, bare: bool = True) -> str:
        kept = {key: tensor for key, tensor in tensors.items() if key.startswith(prefixes)}
        named = {key.removeprefix(prefixes[0]) if bare else key: tensor for key, tensor in kept.items()}
        return str(_save(named, folder / f"{name}-{version}.safetensors", told))

    gemma = folder / f"gemma-{version}-split.safetensors"
    if version == "2.5":
        inside = {key: tensor for key, tensor in tensors.items() if key.startswith(PROJECTION)}
        text: Any = str(_gemma(gemma, version, **inside))
    else:
        text = [str(_gemma(gemma, version)), part("projection", PROJECTION, bare=False)]
    return {
        "diffusion_model": part("transformer", PREFIX),
        "vae": part("video-vae", VAE),
        "audio_vae": part("audio-vae", *SOUND, bare=False),
        "text_encoder": text,
    }


def _gemma(path: Path, version: str, **more: torch.Tensor) -> Path:
    return write_gemma_4(path, **more) if version == "2.5" else write_gemma(path)


def _save(tensors: Tensors, path: Path, told: dict[str, str]) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=told)
    return path

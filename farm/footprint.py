"""How much device memory a job's stages need: model files by size, and a peak for the work beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from farm.candidates import Footprint
from farm.weights import tensor_bytes
from jobs.graph import Stage
from jobs.spec import EngineConfig

GIB = 2**30
WORKING_GIB: Mapping[Stage, float] = {
    Stage.ENCODE: 1.0,
    Stage.SAMPLE: 4.0,
    Stage.UPSCALE: 6.0,
    Stage.DECODE: 8.0,
}
"""Peaks beside the weights for 97 frames at 768x512 with a 2x upscale, rounded up from measurements."""

VAE_PREFIX = "vae."


def engine_footprint(engine: EngineConfig, device_gib: float) -> Footprint | None:
    """The needs of an engine whose model files are here; None for the tiny model and names seen only
    elsewhere.
    """
    if engine.name == "fake" or not (engine.checkpoint or engine.diffusion_model):
        return None
    whole, vae_inside = _checkpoint_gib(engine.checkpoint)
    transformer = _gib(engine.diffusion_model) or whole - vae_inside
    if transformer <= 0:
        return None
    vae = _gib(engine.vae) or vae_inside
    models = {"transformer": transformer + sum(_gib(lora.path) for lora in engine.loras)}
    weights = {
        Stage.ENCODE: {"text encoder": _gib(engine.text_encoder), "vae": vae},
        Stage.SAMPLE: models,
        Stage.UPSCALE: {**models, "vae": vae, "upsampler": _gib(engine.upscale_model)},
        Stage.DECODE: {"vae": vae},
    }
    return Footprint(device_gib, weights, WORKING_GIB)


def _gib(name: str | None) -> float:
    """Size of a model file or folder; 0 where it is not on this machine."""
    path = Path(name) if name else None
    if path is None or not path.exists():
        return 0.0
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / GIB


def _checkpoint_gib(name: str | None) -> tuple[float, float]:
    """Size of a checkpoint, and of the VAE inside it."""
    path = Path(name) if name else None
    if path is None or not path.exists():
        return 0.0, 0.0
    if path.is_dir():
        parts = [_gib(str(path / part)) for part in ("transformer", "vae")]
        return sum(parts), parts[1]
    return _gib(name), tensor_bytes(path, VAE_PREFIX) / GIB

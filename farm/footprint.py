"""How much device memory a job's stages need: model files by size, and a peak for the work beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from farm.candidates import Footprint
from farm.comfy_folders import find_model
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


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """GiB of each model's weights, LoRAs counted with the transformer; 0 for one that there is not."""

    transformer: float
    vae: float
    text_encoder: float = 0.0
    upsampler: float = 0.0


def engine_footprint(engine: EngineConfig, device_gib: float) -> Footprint | None:
    """The needs of an engine whose model files are here; None for the tiny model, and where the size of one
    is unknown.
    """
    if not _has_models(engine) or unknown_sizes(engine):
        return None
    files = {field: find_model(engine, field, name) for field, name in _named(engine) if field != "loras"}
    whole, vae_inside = _checkpoint_gib(files.get("checkpoint"))
    transformer = _gib(files.get("diffusion_model")) or whole - vae_inside
    loras = (_gib(find_model(engine, "loras", lora.path)) for lora in engine.loras)
    sizes = ModelSizes(
        transformer=transformer + sum(loras),
        vae=_gib(files.get("vae")) or vae_inside,
        text_encoder=_gib(files.get("text_encoder")),
        upsampler=_gib(files.get("upscale_model")),
    )
    return footprint_of(sizes, device_gib)


def footprint_of(sizes: ModelSizes, device_gib: float) -> Footprint:
    """Which models each stage keeps, and what it needs beside them."""
    transformer, vae = {"transformer": sizes.transformer}, {"vae": sizes.vae}
    weights = {
        Stage.ENCODE: {"text encoder": sizes.text_encoder, **vae},
        Stage.SAMPLE: transformer,
        Stage.UPSCALE: {**transformer, **vae, "upsampler": sizes.upsampler},
        Stage.DECODE: vae,
    }
    return Footprint(device_gib, weights, WORKING_GIB)


def unknown_sizes(engine: EngineConfig) -> tuple[str, ...]:
    """Models of the job that are not on this machine, or not where they are looked for."""
    if not _has_models(engine):
        return ()
    return tuple(name for field, name in _named(engine) if find_model(engine, field, name) is None)


def _has_models(engine: EngineConfig) -> bool:
    return engine.name != "fake" and bool(engine.checkpoint or engine.diffusion_model)


def _named(engine: EngineConfig) -> Iterator[tuple[str, str]]:
    """Every model whose size counts, with the field that names it."""
    for field in ("checkpoint", "diffusion_model", "vae", "text_encoder", "upscale_model"):
        name = getattr(engine, field)
        if name is not None:
            yield field, name
    yield from (("loras", lora.path) for lora in engine.loras)


def _gib(path: Path | None) -> float:
    """Size of a model file or folder; 0 without one."""
    if path is None:
        return 0.0
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / GIB


def _checkpoint_gib(path: Path | None) -> tuple[float, float]:
    """Size of a checkpoint, and of the VAE inside it."""
    if path is None:
        return 0.0, 0.0
    if path.is_dir():
        parts = [_gib(path / part) for part in ("transformer", "vae")]
        return sum(parts), parts[1]
    return _gib(path), tensor_bytes(path, VAE_PREFIX) / GIB

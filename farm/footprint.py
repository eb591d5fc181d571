"""How much device memory a job's stages need: model files by size, and a peak for the work beside them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from farm.candidates import Footprint
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

MOST_HEADER_BYTES = 100 << 20
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
    return _gib(name), _vae_bytes(path) / GIB


def _vae_bytes(path: Path) -> int:
    """Bytes of the tensors under `vae.` in a single file, read off its header."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= MOST_HEADER_BYTES else {}
    except (OSError, ValueError, struct.error):
        return 0
    tensors = (entry["data_offsets"] for name, entry in header.items() if name.startswith(VAE_PREFIX))
    return sum(stop - start for start, stop in tensors)

"""Which of the measured models a job's diffusion model is like: by the header of its file, or its recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from farm.models.comfy_folders import find_model
from farm.simulator.workload import H200
from jobs.recipes.published import published
from jobs.tasks.task import Stage
from jobs.weights.header import read_weights

if TYPE_CHECKING:
    from jobs.recipes.recipe import Recipe
    from jobs.spec.engine import EngineConfig

SMALL, LARGE, WITH_SOUND = "LTXV 2B", "LTXV 13B", "LTX-2"
AUDIO_KEY = "audio_adaln_single.linear.weight"
TRANSFORMER_PREFIX = "model.diffusion_model."
OTHER_PARTS = ("vae.", "audio_vae.", "vocoder.", "text_encoder.", "text_encoders.")
LARGE_PARAMETERS = 6e9


def model_like(engine: EngineConfig) -> str | None:
    """The key of `workload.H200` that the job's model is like; None where its file is neither here nor that
    of a recipe."""
    field = "diffusion_model" if engine.diffusion_model else "checkpoint"
    name = getattr(engine, field)
    path = find_model(engine, field, name) if name else None
    if path is not None:
        return _like(path)
    known = published(field, name) if name else None
    return _like_recipe(known.recipe) if known else None


def ratios(engine: EngineConfig) -> dict[Stage, float]:
    """How much longer the stages take than those of the 2B model; empty where nothing is known."""
    like = model_like(engine)
    if like is None:
        return {}
    times, small = H200[like], H200[SMALL]
    return {
        Stage.SAMPLE: times.sample_s / small.sample_s,
        Stage.UPSCALE: times.upscale_s / small.upscale_s,
        Stage.DECODE: times.decode_s / small.decode_s,
    }


def _like_recipe(recipe: Recipe) -> str:
    if recipe.family == "ltx-2":
        return WITH_SOUND
    return LARGE if recipe.size == "13b" else SMALL


@lru_cache(maxsize=16)
def _like(path: Path) -> str | None:
    """None for a file that is no `.safetensors`."""
    files = sorted((path / "transformer").glob("*.safetensors")) if path.is_dir() else [path]
    try:
        shapes = {name: tensor.shape for file in files for name, tensor in read_weights(file).tensors.items()}
    except (OSError, ValueError):
        return None
    if any(name.endswith(AUDIO_KEY) for name in shapes):
        return WITH_SOUND
    parameters = _parameters(shapes)
    return (LARGE if parameters >= LARGE_PARAMETERS else SMALL) if parameters else None


def _parameters(shapes: Mapping[str, tuple[int, ...]]) -> int:
    own = [shape for name, shape in shapes.items() if name.startswith(TRANSFORMER_PREFIX)]
    rest = (shape for name, shape in shapes.items() if not name.startswith(OTHER_PARTS))
    return sum(math.prod(shape) for shape in own or rest)

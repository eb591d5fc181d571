"""Settings beside what the model's file says of itself: which noise levels it knows, whether it is guided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.recipes.recipe import recipe_for
from jobs.weights.describe import Description, describe
from jobs.weights.header import WeightsFault, read_weights

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.planning.sampling import Sampling
    from jobs.spec.engine import EngineConfig

LEVEL_DIGITS = 4
"""Digits of the noise levels that published files list."""


def described(engine: EngineConfig) -> tuple[Path, Description] | None:
    """The transformer's file and what it is; None for the bundled model, and for files that are not here or
    have no header that can be read."""
    named = engine.diffusion_model or engine.checkpoint
    if engine.name == "fake" or named is None:
        return None
    try:
        return Path(named), describe(Path(named))
    except (OSError, WeightsFault):
        return None


def distilled_advice(plan: Plan) -> Iterator[str]:
    """A distilled model that is sampled otherwise than it was trained for."""
    found = described(plan.engine)
    if found is None or not found[1].distilled:
        return
    path, description = found
    levels = _levels(path)
    odd = dict.fromkeys(
        words for place, sampling in _passes(plan) if (words := _odd(place, sampling, levels))
    )
    if odd:
        yield f"{path.name} is distilled, and was trained for {_trained(levels)}; here {'; '.join(odd)}. " + (
            _remedy(description)
        )


def _levels(path: Path) -> tuple[float, ...]:
    """The noise levels that the file lists, falling; empty where it lists none."""
    listed = read_weights(path).config.get("allowed_inference_steps") if path.is_file() else None
    numbers = listed if isinstance(listed, list) else []
    return tuple(sorted((float(level) for level in numbers if isinstance(level, int | float)), reverse=True))


def _passes(plan: Plan) -> Iterator[tuple[str, Sampling]]:
    chunks = (chunk for video in plan.films for chunk in video.chunks if chunk.is_sampled)
    yield from ((chunk.place, chunk.sampling) for chunk in chunks)
    if plan.upscale is not None and plan.upscale.sampling.steps_run:
        yield "upscale", plan.upscale.sampling


def _odd(place: str, sampling: Sampling, levels: tuple[float, ...]) -> str:
    """What of the sampling does not suit a distilled model."""
    said = []
    if sampling.sigmas is None:
        said.append(f"`steps: {sampling.steps}`")
    elif levels:
        other = [level for level in sampling.sigmas[:-1] if round(level, LEVEL_DIGITS) not in levels]
        said += [f"`sigmas` with {', '.join(f'{level:g}' for level in other[:4])}"] if other else []
    if sampling.guider.name == "cfg" and sampling.cfg != 1.0:
        said.append(f"`cfg: {sampling.cfg:g}`")
    where = "the second pass" if place == "upscale" else "the spec"
    return f"{where} has {' and '.join(said)}" if said else ""


def _trained(levels: tuple[float, ...]) -> str:
    if not levels:
        return "a few noise levels of its own and `cfg: 1`"
    return f"`cfg: 1` and the noise levels {', '.join(f'{level:g}' for level in levels)}"


def _remedy(found: Description) -> str:
    recipe = recipe_for(found.family, found.version, found.size, found.variant)
    if recipe is None:
        return "Write the `sigmas` that its publisher names, and `cfg: 1`; `farm recipes` has examples"
    return f"Write `recipe: {recipe.name}`"

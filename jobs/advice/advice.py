"""What a spec may ask for but will hardly want: lines that warn and stop nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.advice.bundled import colour_advice
from jobs.advice.loras import detail_advice, lora_advice
from jobs.advice.models import distilled_advice
from jobs.advice.notices import notices
from jobs.advice.prompts import weight_advice
from jobs.planning.facts import SourceFacts
from jobs.recipes.recipe import find_recipe

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.spec.engine import EngineConfig

NO_FACTS = SourceFacts()
TINY_LEAST, TINY_MOST = 128, 256
"""Pixels a side that the bundled model films, by its card."""


def advice(plan: Plan, facts: SourceFacts = NO_FACTS) -> tuple[str, ...]:
    """One line for each thing that renders, but maybe not to anyone's liking; each ends with what to do."""
    return (
        *_left_out_of_the_recipe(plan),
        *_odd_sizes(plan),
        *distilled_advice(plan),
        *weight_advice(plan),
        *colour_advice(plan),
        *lora_advice(plan),
        *detail_advice(plan),
        *notices(plan, facts),
    )


def _left_out_of_the_recipe(plan: Plan) -> tuple[str, ...]:
    """Published settings that the farm has no form for."""
    recipe = find_recipe(plan.recipe) if plan.recipe else None
    if recipe is None or not recipe.omits:
        return ()
    return (
        f"the recipe {recipe.name} leaves out of the published settings: {'; '.join(recipe.omits)}. "
        f"See `farm recipes {recipe.name}`",
    )


def _odd_sizes(plan: Plan) -> tuple[str, ...]:
    """Sizes that the bundled model was not trained on."""
    if not _renders_with_tiny(plan.engine):
        return ()
    odd: dict[tuple[int, int, int, int], list[str]] = {}
    for video in plan.films:
        size = (video.base_width, video.base_height, video.width, video.height)
        if min(size) < TINY_LEAST or max(size) > TINY_MOST:
            odd.setdefault(size, []).append(video.name)
    return tuple(_size_line(*size, names) for size, names in odd.items())


def _renders_with_tiny(engine: EngineConfig) -> bool:
    return engine.name != "fake" and engine.checkpoint is None and engine.diffusion_model is None


def _size_line(base_width: int, base_height: int, width: int, height: int, names: list[str]) -> str:
    """Says whose size it is, and what the model films."""
    whose = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    size = f"{base_width}x{base_height}"
    size += f", {width}x{height} upscaled" if (width, height) != (base_width, base_height) else ""
    return (
        f"{whose}: {size}, but the bundled tiny model films {TINY_LEAST} to {TINY_MOST} pixels a side: "
        "the picture will be broken. Write `defaults: {width: 128, height: 128}`, or name a model in "
        "`engine.checkpoint`"
    )

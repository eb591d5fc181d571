"""What the recipes know of published files by their names: planned with before they are here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from jobs.recipes.recipe import recipes

if TYPE_CHECKING:
    from jobs.recipes.recipe import Part, Recipe

MAIN_PARTS: Mapping[str, Part] = {
    "checkpoint": "transformer",
    "diffusion_model": "transformer",
    "vae": "vae",
    "audio_vae": "sound",
    "text_encoder": "text_encoder",
    "upscale_model": "upsampler",
    "temporal_upscale_model": "upsampler",
    "loras": "lora",
}
"""The part for which each field of the engine section names a file."""


class Published(NamedTuple):
    """A file, or the folders of a repository: a recipe that fetches it, and the parameters of each part."""

    recipe: Recipe
    parameters: Mapping[Part, int]


def published(field: str, name: str) -> Published | None:
    """What `engine.<field>: name` stands for, by the last part of a path or hub id; None for what no recipe
    has for that field."""
    found = _by_name().get(PurePath(name).name)
    return found if found is not None and MAIN_PARTS[field] in found.parameters else None


@cache
def _by_name() -> Mapping[str, Published]:
    return {
        name: Published(recipe, parameters)
        for recipe in reversed(list(recipes().values()))
        for name, parameters in recipe.sizes.items()
    }

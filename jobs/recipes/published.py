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
    """What `engine.<field>: name` stands for, by the last part of a path or the whole of a hub id; None for
    what no recipe has for that field."""
    found = _by_name().get(PurePath(name).name)
    if found is None or MAIN_PARTS[field] not in found.parameters or _of_another_owner(name):
        return None
    return found


def _of_another_owner(name: str) -> bool:
    """Whether a hub id `owner/name` is that of no recipe, though the name is."""
    repo = _repositories().get(PurePath(name).name)
    is_hub_id = name.count("/") == 1 and not PurePath(name).is_absolute()
    return repo is not None and is_hub_id and name != repo


@cache
def _repositories() -> Mapping[str, str]:
    """Hub ids of the repositories whose folders recipes fetch, by their last part."""
    taken = (recipe.for_engine(engine) for recipe in recipes().values() for engine in recipe.engines)
    files = (file for recipe in taken for _, file in recipe.downloads)
    return {file.name: file.repo for file in files if file.file is None}


@cache
def _by_name() -> Mapping[str, Published]:
    return {
        name: Published(recipe, parameters)
        for recipe in reversed(list(recipes().values()))
        for name, parameters in recipe.sizes.items()
    }

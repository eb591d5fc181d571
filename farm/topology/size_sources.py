"""What is said of where the sizes of models come from, where that is not their files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from farm.models.comfy_folders import find_model
from farm.topology.file_sizes import gib, parts_in, published_parts
from farm.topology.model_sizes import named_models, value_bytes
from jobs.commands import get_command
from jobs.recipes.published import published
from jobs.recipes.recipe import find_recipe
from jobs.rules.files import is_hub_id

if TYPE_CHECKING:
    from jobs.recipes.recipe import Recipe
    from jobs.spec.engine import EngineConfig

ALIKE = 0.01
"""Share by which a file may differ from what its recipe has: by a header, or some tensors in 32 bits."""


def size_sources(engine: EngineConfig, recipe: str | None) -> str:
    """Which models count as a recipe has them, `recipe` before others, and what fetches them; and which are
    here and of another size. Empty where neither is."""
    return "; ".join((*_absent(engine, recipe), *_others(engine)))


def _absent(engine: EngineConfig, own: str | None) -> Iterator[str]:
    """What a hub id stands for may be in a cache, from which the engine takes it."""
    files: dict[str, dict[str, None]] = {}
    for field, name in named_models(engine) if engine.name != "fake" else ():
        if find_model(engine, field, name) is not None or published(field, name) is None:
            continue
        recipe = _recipe(field, name, own).name
        if is_hub_id(name):
            yield f"{name} counts as the recipe {recipe} has it"
        else:
            files.setdefault(recipe, {})[PurePath(name).name] = None
    for recipe, names in files.items():
        yield (
            f"sizes as stored with the recipe {recipe}, the files are not here: {', '.join(names)}; "
            f"`{get_command(_taken(recipe, engine))}` fetches them"
        )


def _recipe(field: str, name: str, own: str | None) -> Recipe:
    """The job's own recipe where it has the file, or else another."""
    recipe, known = find_recipe(own) if own else None, published(field, name)
    assert known is not None
    return recipe if recipe is not None and PurePath(name).name in recipe.sizes else known.recipe


def _taken(name: str, engine: EngineConfig) -> str:
    """The recipe as a command line names it, with the engine where that is not its first."""
    recipe = find_recipe(name)
    first = recipe.engines[0] if recipe else engine.name
    return name if first == engine.name else f"{name} --engine {engine.name}"


def _others(engine: EngineConfig) -> Iterator[str]:
    """Files that have a published name and another size."""
    for field, name in dict.fromkeys(named_models(engine)) if engine.name != "fake" else ():
        path, stored = find_model(engine, field, name), published_parts(field, name)
        if path is None or stored is None:
            continue
        here, held = parts_in(path, field), value_bytes(engine)
        has, had = (gib([parts], *parts, value_bytes=held) for parts in (here, stored))
        if abs(has - had) > ALIKE * had:
            yield f"{path.name} takes {has:.1f} GiB here, {had:.1f} as its recipe has it: the file counts"

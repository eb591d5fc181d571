"""What a spec leaves out, from its recipe. Values that the spec has are never changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from jobs.recipes.recipe import SECOND_PASS, Recipe, find_recipe

SCHEDULE = ("steps", "max_shift", "base_shift", "denoise")
"""Settings that say how noise levels are made: explicit ones replace the recipe's list of levels."""

MODELS = ("checkpoint", "diffusion_model")
"""The fields that name the transformer."""

Data = dict[str, Any]


def fill_recipe(data: Data) -> Data:
    """The document with the recipe's values in place of what it leaves out, and the recipe marked as filled
    in. A second pass is filled in only where the document has `upscale`.

    A document without a recipe, with an unknown one, or one that was filled in before comes back as it is.
    """
    name = data.get("recipe")
    recipe = find_recipe(name) if isinstance(name, str) else None
    if recipe is None:
        return data
    filled = copy.deepcopy(data)
    for section, values in recipe.fills.items():
        if section != "upscale" or isinstance(filled.get("upscale"), dict):
            _fill(filled, section, values)
    for chunk in _chunks(filled):
        _free(chunk, filled["defaults"], recipe)
    return {**filled, "recipe": {"name": recipe.name, "filled": True}}


def name_files(data: Data) -> Data:
    """The filled document with the files of its recipe by their names, where its engine names no model: what
    they are is known before they are here."""
    use, engine = data.get("recipe"), data.get("engine", {})
    said = use.get("name") if isinstance(use, dict) else None
    recipe = find_recipe(said) if isinstance(said, str) else None
    if recipe is None or not isinstance(engine, dict) or any(field in engine for field in MODELS):
        return data
    name = engine.get("name", "diffusers")
    if name not in recipe.engines:
        return data
    fields = recipe.for_engine(name).engine_fields(lambda file: file.name)
    passes = "upscale" in data
    named = {field: value for field, value in fields.items() if passes or field not in SECOND_PASS}
    return {**data, "engine": {**named, **engine}}


def _fill(document: Data, section: str, values: Data) -> None:
    own = document.setdefault(section, {})
    if not isinstance(own, dict):
        return
    matrix = document.get("matrix") if section == "defaults" else None
    said = {**(matrix if isinstance(matrix, dict) else {}), **own}
    for key, value in values.items():
        if key in said or (key == "sigmas" and any(field in said for field in SCHEDULE)):
            continue
        own[key] = _without_cfg(value) if key == "guider" and "cfg" in said else copy.deepcopy(value)


def _free(chunk: Data, defaults: Any, recipe: Recipe) -> None:
    """Settings of a chunk that the recipe's lists in `defaults` would override."""
    filled = defaults if isinstance(defaults, dict) else {}
    own = recipe.fills.get("defaults", {})
    listed = "sigmas" not in chunk and filled.get("sigmas") == own.get("sigmas")
    if listed and any(field in chunk for field in SCHEDULE):
        chunk["sigmas"] = None
    if "cfg" in chunk and "guider" not in chunk and filled.get("guider") == own.get("guider"):
        chunk["guider"] = _without_cfg(own.get("guider", "cfg"))


def _without_cfg(guider: Any) -> Any:
    """The guider without scales of its own for the prompt."""
    if not isinstance(guider, dict):
        return guider
    params = {key: value for key, value in guider.get("params", {}).items() if key != "cfg"}
    return {**guider, "params": copy.deepcopy(params)}


def _chunks(document: Data) -> Iterator[Data]:
    videos = document.get("videos")
    for video in videos if isinstance(videos, list) else ():
        shots = video.get("shots") if isinstance(video, dict) else None
        yield from (shot for shot in (shots if isinstance(shots, list) else ()) if isinstance(shot, dict))
        retakes = video.get("retakes") if isinstance(video, dict) else None
        yield from (part for part in (retakes if isinstance(retakes, list) else ()) if isinstance(part, dict))
        chunks = video.get("chunks") if isinstance(video, dict) else None
        for chunk in chunks if isinstance(chunks, list) else ():
            for kind in ("generate", "extend"):
                settings = chunk.get(kind) if isinstance(chunk, dict) else None
                if isinstance(settings, dict):
                    yield settings

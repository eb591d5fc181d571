"""Whether a spec and its recipe go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.commands import get_command, init_command
from jobs.places import nearest, shown
from jobs.recipes.recipe import Recipe, find_recipe, recipes
from jobs.rules.findings import BrokenRule
from jobs.spec.base import is_there
from jobs.weights.describe import Description, describe
from jobs.weights.header import WeightsFault

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec


def check_recipe_model(spec: JobSpec) -> Iterator[BrokenRule]:
    """The checkpoint is a model of the recipe, as far as its header says what it is."""
    recipe = find_recipe(spec.recipe.name) if spec.recipe else None
    for field in ("checkpoint", "diffusion_model"):
        named = getattr(spec.engine, field)
        found = _described(Path(named)) if recipe and named and spec.engine.name != "fake" else None
        if recipe is None or found is None or "transformer" not in found.parts:
            continue
        said = (("family", found.family), ("size", found.size), ("variant", found.variant))
        wrong = [value for key, value in said if value and value != getattr(recipe, key)]
        if wrong:
            rule = f"the recipe {recipe.name} is for {recipe.family} {recipe.size} {recipe.variant}"
            remedy = f"`{init_command(named)}` writes a spec with the recipe of the file"
            place = ("engine", field)
            yield BrokenRule(place, f"{Path(named).name} is {' '.join(wrong)}", rule, remedy, (("recipe",),))


def _described(path: Path) -> Description | None:
    """What the model is; None for what other rules refuse."""
    try:
        return describe(path) if is_there(path) else None
    except (OSError, WeightsFault):
        return None


def check_recipe(spec: JobSpec) -> Iterator[BrokenRule]:
    """The recipe exists, the engine can do it, a model is named, and it has the passes that are asked for."""
    use, engine = spec.recipe, spec.engine
    if use is None or engine.name == "fake":
        return
    recipe = find_recipe(use.name)
    if recipe is None:
        if not use.filled:
            near = nearest(use.name, tuple(recipes()))
            remedy = f"did you mean `{near}`?" if near else "`farm recipes` lists them"
            yield BrokenRule(("recipe",), shown(use.name), "the name of a recipe", remedy)
        return
    if engine.name not in recipe.engines:
        rule = f"the recipe {recipe.name} runs with {' or '.join(recipe.engines)}"
        remedy = f"write `engine.name: {recipe.engines[0]}`, or leave out `recipe`"
        yield BrokenRule(("engine", "name"), shown(engine.name), rule, remedy, (("recipe",),))
    if engine.checkpoint is None and engine.diffusion_model is None:
        rule = f"the recipe {recipe.name} is for {recipe.model.file}"
        field = "checkpoint" if "checkpoint" in recipe.files else "diffusion_model"
        remedy = f"name it in `engine.{field}`; `{get_command(recipe.name)}` fetches it"
        yield BrokenRule(("engine", field), "nothing", rule, remedy, (("recipe",),))
    if spec.upscale is not None and not recipe.two_passes and "sigmas" not in spec.upscale.model_fields_set:
        rule = f"the recipe {recipe.name} has no second pass"
        remedy = "leave out `upscale`, or give it `sigmas` of your own"
        yield BrokenRule(("upscale",), "set", rule, remedy, (("recipe",),))
    yield from _check_second_lora(spec, recipe)


def _check_second_lora(spec: JobSpec, recipe: Recipe) -> Iterator[BrokenRule]:
    """A second pass whose levels are those of a LoRA has one."""
    wanted, upscale = recipe.files.get("loras"), spec.upscale
    if wanted is None or upscale is None or upscale.sigmas != recipe.levels:
        return
    if not any(lora.strengths.upscale for lora in spec.engine.loras):
        rule = f"the second pass of the recipe {recipe.name} needs {Path(wanted.file or '').name}"
        weights = wanted.strength.model_dump(exclude_defaults=True) if wanted.strength else {}
        passes = ", ".join(f"{which}: {weight}" for which, weight in weights.items())
        naming = f"name it: `loras: [{{path: FILE, strength: {{{passes}}}}}]`"
        doing = naming if spec.engine.name == "diffusers" else "render with `engine.name: diffusers`"
        remedy = f"{doing}, or write `sigmas` of your own"
        yield BrokenRule(("engine", "loras"), "nothing for it", rule, remedy, (("recipe",), ("upscale",)))

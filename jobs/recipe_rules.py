"""Whether a spec and its recipe go together."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.findings import Finding
from jobs.places import nearest, shown
from jobs.recipes import find_recipe, recipes
from jobs.spec import JobSpec


def check_recipe(spec: JobSpec) -> Iterator[Finding]:
    """The recipe exists, the engine can do it, a model is named, and it has the passes that are asked for."""
    use, engine = spec.recipe, spec.engine
    if use is None or engine.name == "fake":
        return
    recipe = find_recipe(use.name)
    if recipe is None:
        if not use.filled:
            near = nearest(use.name, tuple(recipes()))
            remedy = f"did you mean `{near}`?" if near else "`farm recipes` lists them"
            yield Finding(("recipe",), shown(use.name), "the name of a recipe", remedy)
        return
    if engine.name not in recipe.engines:
        rule = f"the recipe {recipe.name} runs with {' or '.join(recipe.engines)}"
        remedy = f"write `engine.name: {recipe.engines[0]}`, or leave out `recipe`"
        yield Finding(("engine", "name"), shown(engine.name), rule, remedy, (("recipe",),))
    if engine.checkpoint is None and engine.diffusion_model is None:
        rule = f"the recipe {recipe.name} is for {recipe.files['checkpoint'].file}"
        remedy = f"name it in `engine.checkpoint`; `farm models get {recipe.name}` fetches it"
        yield Finding(("engine", "checkpoint"), "nothing", rule, remedy, (("recipe",),))
    if spec.upscale is not None and not recipe.two_passes and "sigmas" not in spec.upscale.model_fields_set:
        rule = f"the recipe {recipe.name} has no second pass"
        remedy = "leave out `upscale`, or give it `sigmas` of your own"
        yield Finding(("upscale",), "set", rule, remedy, (("recipe",),))

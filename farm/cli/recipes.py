"""`farm recipes`: the published settings that a spec can take by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.table import columns

if TYPE_CHECKING:
    from farm.cli.results import RecipeFile, RecipeRecord
    from jobs.recipes.recipe import Recipe, RecipeEngine


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this recipe: settings, sources, files.")
    ] = None,
    output: Output = OutputFormat.TEXT,
) -> int:
    """List the recipes: published settings of a model, which a spec takes with `recipe: NAME`."""
    from farm.cli.results import RecipesResult
    from jobs.recipes.recipe import recipes as known

    chosen = [require_recipe(name)] if name else list(known().values())
    if output is OutputFormat.JSON:
        emit_json(RecipesResult(tuple(map(_record, chosen))))
        return 0
    emit_text("\n".join(_one(chosen[0]) if name else _all(chosen)))
    return 0


def require_recipe(name: str, engine: RecipeEngine | None = None) -> Recipe:
    """The recipe, as that engine takes it. Raises UsageError for a name that none has, and for an engine that
    the recipe is not for."""
    from jobs.errors import Problem, UsageError
    from jobs.places import nearest
    from jobs.recipes.recipe import find_recipe
    from jobs.recipes.recipe import recipes as known

    found = find_recipe(name)
    if found is None:
        near = nearest(name, tuple(known()))
        remedy = f"did you mean `{near}`?" if near else "`farm recipes` lists them"
        raise UsageError([Problem("NAME", repr(name), "the name of a recipe", remedy)])
    return as_taken_by(found, engine)


def require_engine(name: str | None) -> RecipeEngine | None:
    """`--engine`. Raises UsageError for anything that is none."""
    from jobs.errors import Problem, UsageError

    match name:
        case None | "diffusers" | "comfyui":
            return name
    raise UsageError([Problem("--engine", repr(name), "an engine", "write diffusers or comfyui")])


def as_taken_by(recipe: Recipe, engine: RecipeEngine | None) -> Recipe:
    """The recipe with its files as that engine reads them. Raises UsageError for one that it is not for."""
    from jobs.errors import Problem, UsageError

    if engine is None:
        return recipe
    if engine not in recipe.engines:
        rule = f"an engine of the recipe {recipe.name}"
        raise UsageError([Problem("--engine", engine, rule, f"write {' or '.join(recipe.engines)}")])
    return recipe.for_engine(engine)


def _all(chosen: list[Recipe]) -> list[str]:
    rows = [
        (each.name, "+".join(each.engines), "2" if each.two_passes else "1", each.licence.name, each.title)
        for each in chosen
    ]
    return columns(("recipe", "engines", "passes", "licence", "what it is"), rows)


def _one(recipe: Recipe) -> Iterator[str]:
    """The whole recipe, its settings as they would stand in a spec."""
    import yaml

    yield f"{recipe.name}: {recipe.title}"
    versions, engines = ", ".join(recipe.versions), " or ".join(recipe.engines)
    yield f"for {recipe.family} {recipe.size} {versions}, with {engines}"
    yield ""
    yield yaml.safe_dump({**recipe.fills}, sort_keys=False, width=100, default_flow_style=None).rstrip()
    yield ""
    for file in _files(recipe):
        yield _named(file)
    for engine in recipe.files_of:
        for file in _files(recipe.for_engine(engine)):
            if file not in _files(recipe):
                yield f"{_named(file)} with {engine}"
    yield f"licence: {recipe.licence.name}, {recipe.licence.date or 'date in its text'}, {recipe.licence.url}"
    yield f"  {recipe.licence.note}"
    yield from (f"source: {source}" for source in recipe.source)
    yield from (f"left out of the published settings: {what}" for what in recipe.omits)


def _named(file: RecipeFile) -> str:
    return f"engine.{file.field}: {file.repo}/{file.file or '{' + ','.join(file.folders) + '}'}"


def _record(recipe: Recipe) -> RecipeRecord:
    from farm.cli.results import RecipeRecord

    licence = recipe.licence
    return RecipeRecord(
        name=recipe.name,
        title=recipe.title,
        family=recipe.family,
        size=recipe.size,
        versions=recipe.versions,
        variant=recipe.variant,
        engines=recipe.engines,
        source=recipe.source,
        licence=licence.name,
        licence_date=licence.date,
        licence_url=licence.url,
        licence_note=licence.note,
        files=_files(recipe),
        fills={str(section): values for section, values in recipe.fills.items()},
        omits=recipe.omits,
    )


def _files(recipe: Recipe) -> tuple[RecipeFile, ...]:
    from farm.cli.results import RecipeFile

    return tuple(RecipeFile(field, file.repo, file.file, file.folders) for field, file in recipe.downloads)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("recipes")(recipes)

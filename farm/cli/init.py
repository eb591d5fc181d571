"""`farm init`: a commented spec to start from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_text

if TYPE_CHECKING:
    from jobs.recipes.recipe import Recipe

TEMPLATE = Path(__file__).with_name("template.yaml")


def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where: YAML or JSON.")] = Path("film.yaml"),
    name: Annotated[str | None, typer.Option("--name", help="Job name; the file's name otherwise.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="MODEL", help="Read this model's header and take its recipe."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="With --checkpoint: for this engine, diffusers or comfyui."),
    ] = None,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Write a commented spec that renders as it is."""
    from farm.cli.results import InitResult
    from jobs.spec.base import safe_name

    require_new(path, force)
    if name is not None:
        _require_legal(name)
    video = safe_name(path.stem)
    job = name or video
    recipe, text = _text(checkpoint, engine, path.parent)
    write_new(path, _named(text, path, job, video))
    if output is OutputFormat.JSON:
        emit_json(InitResult(str(path), job, recipe.name if recipe else None))
        return 0
    file = shlex.quote(str(path))
    emit_text(f"{path}" if job == path.stem else f"{path}: the job is called {job}")
    if recipe:
        emit_text(f"recipe: {recipe.name}, {recipe.title}; `farm recipes {recipe.name}` shows it")
    emit_text(f"next: farm check {file}, then farm render {file} --serial")
    return 0


def _text(checkpoint: Path | None, engine: str | None, folder: Path) -> tuple[Recipe | None, str]:
    """The spec for a model file, with its recipe, else the one that renders with the bundled model."""
    if checkpoint is None and engine is not None:
        from jobs.errors import Problem, UsageError

        rule = "beside --checkpoint: a recipe has files for each engine"
        raise UsageError([Problem("--engine", engine, rule, "add --checkpoint, or leave out --engine")])
    if checkpoint is None:
        return None, TEMPLATE.read_text(encoding="utf-8")
    from farm.cli.recipes import as_taken_by, require_engine
    from farm.specs.recipe_spec import recognised, spec_text

    recipe = as_taken_by(recognised(checkpoint), require_engine(engine))
    return recipe, spec_text(recipe, checkpoint, folder)


def require_new(path: Path, force: bool) -> None:
    """Raises UsageError for a folder, and unless `force` for a file that exists."""
    from jobs.errors import Problem, UsageError

    if path.is_dir():
        raise UsageError([Problem("FILE", f"{path} is a folder", "a file", f"write {path / 'film.yaml'}")])
    if path.exists() and not force:
        raise UsageError(
            [Problem("FILE", f"{path} exists", "a file that does not exist", "another name, or --force")]
        )


def _require_legal(name: str) -> None:
    from jobs.errors import Problem, UsageError
    from jobs.spec.base import NAME_RULE, SAFE_NAME, safe_name

    if not SAFE_NAME.fullmatch(name):
        raise UsageError([Problem("--name", repr(name), NAME_RULE, f"write {safe_name(name)!r}")])


def _named(text: str, path: Path, job: str, video: str) -> str:
    """The spec, its film called after the file: two specs of a folder deliver to one place. Comments go
    where the suffix says JSON."""
    from jobs.parsing.document import parse_yaml

    text = text.replace("name: film", f"name: {_word(job)}", 1)
    text = text.replace("- name: film", f"- name: {_word(video)}", 1)
    if path.suffix.lower() != ".json":
        return text
    return json.dumps(parse_yaml(text).data, indent=2) + "\n"


def _word(name: str) -> str:
    """The name as YAML reads it as text."""
    from jobs.parsing.document import parse_yaml

    return name if parse_yaml(f"name: {name}").data["name"] == name else json.dumps(name)


def write_new(path: Path, text: str) -> None:
    """Writes the spec. Raises UsageError where that cannot be."""
    from jobs.errors import Problem, UsageError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        value, rule = f"{path}: {error.strerror or error}", "a place that can be written"
        remedy = "make its folder first" if not path.parent.exists() else "choose another place"
        raise UsageError([Problem("FILE", value, rule, remedy)]) from None


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("init")(init)

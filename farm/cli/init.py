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
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="NAME", help="With --checkpoint: this one of the model's recipes."),
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
    taken, others, text = _text(checkpoint, engine, recipe, path.parent)
    write_new(path, _named(text, path, job, video))
    if output is OutputFormat.JSON:
        emit_json(InitResult(str(path), job, taken.name if taken else None))
        return 0
    file = shlex.quote(str(path))
    emit_text(f"{path}" if job == path.stem else f"{path}: the job is called {job}")
    if taken:
        emit_text(f"recipe: {taken.name}, {taken.title}; `farm recipes {taken.name}` shows it")
    for other in others:
        emit_text(f"with --recipe {other.name}: {other.title}")
    emit_text(f"next: farm check {file}, then farm render {file} --serial")
    return 0


def _text(
    checkpoint: Path | None, engine: str | None, name: str | None, folder: Path
) -> tuple[Recipe | None, list[Recipe], str]:
    """The recipe of a model file, others that it has, and the spec; else the spec that renders with the
    bundled model."""
    if checkpoint is None:
        _require_model(engine, name)
        return None, [], TEMPLATE.read_text(encoding="utf-8")
    from farm.cli.recipes import as_taken_by, require_engine
    from farm.specs.recipe_spec import recognised, spec_text

    fitting = recognised(checkpoint)
    chosen = fitting[0] if name is None else _chosen(name, fitting, checkpoint)
    taken = as_taken_by(chosen, require_engine(engine))
    return taken, [each for each in fitting if each is not chosen], spec_text(taken, checkpoint, folder)


def _require_model(engine: str | None, name: str | None) -> None:
    from jobs.errors import Problem, UsageError

    for option, value, why in (
        ("--engine", engine, "a recipe has files for each engine"),
        ("--recipe", name, "a recipe is for a model"),
    ):
        if value is not None:
            remedy = f"add --checkpoint, or leave out {option}"
            raise UsageError([Problem(option, value, f"beside --checkpoint: {why}", remedy)])


def _chosen(name: str, fitting: tuple[Recipe, ...], checkpoint: Path) -> Recipe:
    from jobs.errors import Problem, UsageError

    found = next((recipe for recipe in fitting if recipe.name == name), None)
    if found is None:
        remedy = f"write {' or '.join(recipe.name for recipe in fitting)}"
        raise UsageError([Problem("--recipe", repr(name), f"a recipe of {checkpoint.name}", remedy)])
    return found


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

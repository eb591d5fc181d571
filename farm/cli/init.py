"""`farm init`: a commented spec to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.results import InitResult

TEMPLATE = Path(__file__).with_name("template.yaml")


def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("film.yaml"),
    name: Annotated[str | None, typer.Option("--name", help="Job name; the file's name otherwise.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Write a commented spec that renders as it is."""
    from jobs.errors import Problem, UsageError
    from jobs.spec.base import safe_name

    if path.is_dir():
        raise UsageError([Problem("FILE", f"{path} is a folder", "a file", f"write {path / 'film.yaml'}")])
    if path.exists() and not force:
        raise UsageError(
            [Problem("FILE", f"{path} exists", "a file that does not exist", "another name, or --force")]
        )
    job = safe_name(name or path.stem)
    text = TEMPLATE.read_text(encoding="utf-8").replace("name: film", f"name: {job}", 1)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        value, rule = f"{path}: {error.strerror or error}", "a place that can be written"
        remedy = "make its folder first" if not path.parent.exists() else "choose another place"
        raise UsageError([Problem("FILE", value, rule, remedy)]) from None
    if output is OutputFormat.JSON:
        emit_json(InitResult(str(path), job))
    else:
        file = shlex.quote(str(path))
        emit_text(f"{path}\nnext: farm check {file}, then farm render {file} --serial")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("init")(init)

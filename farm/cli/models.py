"""`farm models get`: the files of a recipe, from the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from farm.cli.recipes import require_engine, require_recipe
from farm.cli.table import columns

if TYPE_CHECKING:
    from farm.models.fetch import DownloadRecord, DownloadState, ModelsResult
    from farm.models.survey import HubRepo
    from jobs.recipes.recipe import ModelFile, Recipe


def get(
    name: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Name of a recipe; `farm recipes` lists them.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the models.")],
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="The files as this engine reads them: diffusers or comfyui."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch without asking.")] = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Show licence, gates and sizes of a recipe's files, then fetch them; nothing without a yes."""
    from farm.models.fetch import fetch, look, read_record
    from farm.models.survey import survey

    recipe = require_recipe(name, require_engine(engine))
    record = read_record(to)
    repos = survey(recipe, record.pins)
    state = look(repos, to, record)
    for line in _offer(recipe, repos, state, to):
        emit_note(line)
    _require_token(repos, state)
    if state.missing and not yes:
        _ask()
    record = fetch(state, to, record, emit_note)
    result = _result(recipe, to, record, len(state.missing))
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        emit_text(f"{len(state.missing)} fetched, {len(state.there)} there and verified; for the spec:")
        emit_text(_engine(recipe, result))
    return 0


def _offer(recipe: Recipe, repos: tuple[HubRepo, ...], state: DownloadState, to: Path) -> Iterator[str]:
    from farm.models.fetch import size_text

    licence = recipe.licence
    yield f"{recipe.name}: {recipe.title}"
    yield f"licence: {licence.name}, {licence.date or 'date in its text'}: {licence.url}"
    yield f"  {licence.note}"
    head = ("repository", "revision", "gate", "licence by its card")
    rows = [
        (
            repo.repo,
            repo.revision[:12] + (" (recorded)" if repo.pinned else ""),
            repo.gated or "none",
            repo.licence,
        )
        for repo in repos
    ]
    yield from columns(head, rows)
    missing = {file.key for file in state.missing}
    files = [file for repo in repos for file in repo.files]
    yield from columns(
        ("file", "size", "hash", ""),
        [
            (
                file.key,
                size_text(file.size),
                f"sha256 {file.sha256[:12]}" if file.sha256 else f"git {(file.blob or '')[:12]}",
                "to fetch" if file.key in missing else "there, verified",
            )
            for file in files
        ],
    )
    yield f"{size_text(state.bytes_missing)} to fetch to {to}"


def _require_token(repos: tuple[HubRepo, ...], state: DownloadState) -> None:
    """A gate is named before anything is asked."""
    from farm.models.survey import gate, hub
    from jobs.errors import CannotRun

    gated = [repo.repo for repo in repos if repo.gated]
    if gated and state.missing and hub().get_token() is None:
        raise CannotRun(gate(gated[0]))


def _ask() -> None:
    from jobs.errors import Problem, UsageError

    if sys.stdin.isatty() and typer.confirm("Fetch them?", err=True):
        return
    raise UsageError(
        [Problem("--yes", "no", "a yes, before anything is fetched", "read the licence, then add --yes")]
    )


def _result(recipe: Recipe, to: Path, record: DownloadRecord, fetched: int) -> ModelsResult:
    from farm.models.fetch import ModelsResult

    def place(file: ModelFile) -> str:
        home = to.absolute() / file.repo.rpartition("/")[2]
        return str(home / file.file) if file.file else str(home)

    engine = {str(field): named for field, named in recipe.engine_fields(place).items()}
    keys = {file.repo for _, file in recipe.downloads}
    files = tuple(file for _, file in sorted(record.files.items()) if file.repo in keys)
    return ModelsResult(recipe.name, str(to.absolute()), fetched, engine, files)


def _engine(recipe: Recipe, result: ModelsResult) -> str:
    import yaml

    name = {} if recipe.engines[0] == "diffusers" else {"name": recipe.engines[0]}
    section = {"recipe": recipe.name, "engine": {**name, **result.engine}}
    return yaml.safe_dump(section, sort_keys=False, width=1000).rstrip()


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    models = typer.Typer(help="Model files.", no_args_is_help=True)
    models.command("get")(get)
    app.add_typer(models, name="models")

    @models.callback()
    def group() -> None:
        """Model files."""

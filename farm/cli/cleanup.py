"""`farm delete` and `farm prune`: what they would free is said first, and done with --yes or a yes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount, size_text

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def delete(
    job: JobArgument,
    films: Annotated[
        bool, typer.Option("--films", help="Also the films that this job wrote, as they are.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Delete a job's run directory: results, documents and log; its films stay."""
    from farm.verbs.cleanup import delete_job, survey_delete

    result = survey_delete(runs, job, films)
    if output is OutputFormat.TEXT:
        emit_text(f"{result.run_dir}: {amount(result.files, 'file')}")
        for film in result.films:
            emit_text(f"film {film}")
        for film in result.staying:
            emit_text(f"stays {film}")
        emit_text(f"{size_text(result.bytes)} in all")
    if not dry_run and _agreed("farm delete", yes, output):
        result = delete_job(runs, job, films)
        for name in result.left:
            emit_note(f"not the farm's, left alone: {result.run_dir}/{name}")
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        emit_text(_done(result.deleted, result.bytes))
    return 0


def prune(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="AGE", help="Whole jobs that ended that long ago: 12h, 30d, 4w."
        ),
    ] = None,
    results: Annotated[
        bool, typer.Option("--results", help="Results of jobs that are done and whose films all stand.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Free results that no job needs any more; with options, more; films stay."""
    from farm.verbs import cleanup

    pruning = cleanup.Pruning(results, cleanup.parse_age(older_than) if older_than else None)
    result = cleanup.survey_prune(runs, pruning)
    if output is OutputFormat.TEXT:
        for each in result.jobs:
            emit_text(f"{each.job}: {each.what}, {amount(each.files, 'file')}, {size_text(each.bytes)}")
    if result.files and not dry_run and _agreed("farm prune", yes, output):
        result = cleanup.prune(runs, pruning)
        for job in result.skipped:
            emit_note(f"{job} is rendered again, or another user's, and was left alone")
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        emit_text(_done(result.deleted, result.bytes))
    return 0


def _agreed(command: str, yes: bool, output: OutputFormat) -> bool:
    """Whether the user says so, by --yes or at the terminal. Raises UsageError where nobody can be asked."""
    from jobs.errors import Problem, UsageError

    if yes:
        return True
    if output is OutputFormat.JSON or not sys.stdin.isatty():
        rule = "it deletes only what was agreed to"
        raise UsageError([Problem(command, "no --yes", rule, "add --yes, or --dry-run to only look")])
    return typer.confirm("delete this?", err=True)


def _done(deleted: bool, size_bytes: int) -> str:
    size = size_text(size_bytes)
    return f"{size} freed" if deleted else f"{size} would be freed; nothing was deleted"


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("delete")(delete)
    app.command("prune")(prune)

"""`farm schema`: the JSON Schema of job specs for editors, and of what commands print for programs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from farm.cli.output import Output, OutputFormat, emit_json


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="The schema of what it prints as JSON.")
    ] = None,
    output: Output = OutputFormat.JSON,  # noqa: ARG001  as every command has it
) -> int:
    """Print the JSON Schema of job specs, or of what COMMAND prints with `--output json`."""
    from jobs.spec.schema import json_schema

    emit_json(_of_result(" ".join(command)) if command else json_schema())
    return 0


def _of_result(command: str) -> dict[str, Any]:
    from farm.cli.results import RESULTS, result_schema
    from jobs.errors import Problem, UsageError

    command = command.removesuffix(" install").removesuffix(" get")
    if command not in RESULTS:
        rule, remedy = f"one of {', '.join(RESULTS)}", "name one, or none for the schema of job specs"
        raise UsageError([Problem("COMMAND", repr(command), rule, remedy)])
    return result_schema(command)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("schema")(schema)

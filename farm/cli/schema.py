"""`farm schema`: the JSON Schema of job specs, for editors."""

from __future__ import annotations

import typer

from farm.cli.output import emit_json


def schema() -> int:
    """Print the JSON Schema of job specs."""
    from jobs.load import json_schema

    emit_json(json_schema())
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("schema")(schema)

"""`farm migrate`: a spec of an earlier version rewritten as one of the newest."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.output import Output, OutputFormat, emit_json, emit_part, emit_text

if TYPE_CHECKING:
    from jobs.loading.migrate import Migrated


def migrate(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="Job spec, YAML or JSON.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes, write nothing.")] = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Rewrite a spec of an earlier version; comments, order and spelling stay. What left the spec is listed
    with what says it instead."""
    from farm.cli.results import MigrateResult, RemovedRecord
    from jobs.loading.migrate import migrate as migrated

    changed = migrated(_text(spec), spec.name, spec.suffix.lower() == ".json")
    if changed.text != changed.before and not dry_run:
        _replace(spec, changed.text)
    removed = tuple(RemovedRecord(**asdict(field)) for field in changed.removed)
    if output is OutputFormat.JSON:
        emit_json(MigrateResult(str(spec), changed.text != changed.before, dry_run, removed))
    else:
        _tell(spec, changed, dry_run)
    return 0


def _text(spec: Path) -> str:
    """The text with its line ends as they are. Raises SpecError."""
    from jobs.parsing.text import read_text

    return read_text(spec)


def _tell(spec: Path, changed: Migrated, dry_run: bool) -> None:
    from jobs.spec.versions import NEWEST

    if changed.text == changed.before:
        emit_text(f"{spec}: nothing to change; the newest version is {NEWEST}")
        return
    if dry_run:
        before, after = (text.splitlines(keepends=True) for text in (changed.before, changed.text))
        emit_part("".join(unified_diff(before, after, str(spec), "migrated")))
    else:
        emit_text(f"{spec}: rewritten for version {NEWEST}")
    for field in changed.removed:
        emit_text(f"  {field.place}: {field.value} left the spec: {field.instead}")


def _replace(spec: Path, text: str) -> None:
    """Puts the text in place of what the file holds, whole or not at all, with the rights that it had."""
    from jobs.errors import Problem, UsageError

    path = spec.resolve()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(text.encode())
        beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        value, rule = f"{spec}: {error.strerror}", "a file, in a folder, that can be written"
        raise UsageError([Problem("SPEC", value, rule, "--dry-run shows the changes")]) from None


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("migrate")(migrate)

"""How results and errors leave the command line: text for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from jobs.errors import FarmError, InputError
from jobs.wording import amount, printable


class OutputFormat(StrEnum):
    """The two forms every command can answer in."""

    TEXT = "text"
    JSON = "json"


Output = Annotated[
    OutputFormat,
    typer.Option("--output", "-o", help="text for people, json for programs.", show_default=True),
]


def emit_json(result: Any) -> None:
    """Prints one JSON document on standard output. Dataclasses become objects, tuples lists."""
    emit_text(json.dumps(result, indent=2, default=_plain).replace("\x7f", "\\u007f"))


def emit_text(text: str = "") -> None:
    """Prints a line of text on standard output."""
    emit_part(text + "\n")


def emit_part(text: str, note: bool = False) -> None:
    """Prints text as it comes, without what a terminal would obey: every command's way out. `note`: on
    standard error."""
    stream = sys.stderr if note else sys.stdout
    stream.write(printable(text.replace("\r\n", "\n")))
    stream.flush()


def emit_note(text: str) -> None:
    """Tells people what goes on, on standard error: standard output holds results alone."""
    emit_part(text + "\n", note=True)


def emit_warnings(warnings: Iterable[str]) -> None:
    """Tells what stops nothing, on standard error."""
    for warning in warnings:
        emit_note(f"warning: {warning}")


def error_record(error: FarmError) -> dict[str, Any]:
    """The JSON form of an error: its class, exit code, message and, for bad input, every problem."""
    problems = error.problems if isinstance(error, InputError) else ()
    return {
        "error": type(error).__name__,
        "exit_code": error.exit_code,
        "message": str(error),
        "problems": [asdict(problem) for problem in problems],
    }


def report_error(error: FarmError, as_json: bool) -> None:
    """Says what is wrong: on standard error for people, as the one document on standard output for JSON."""
    if as_json:
        emit_json(error_record(error))
        return
    emit_note(f"error: {error}" if not isinstance(error, InputError) else _problem_list(error))


def _problem_list(error: InputError) -> str:
    head = f"error: {amount(len(error.problems), 'problem')}, nothing was started"
    return "\n".join([head, *(f"  {problem}" for problem in error.problems)])


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)

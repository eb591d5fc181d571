"""Entry point of `farm`: registers the verbs and turns every error into a message and an exit code.

Exit codes: 0 done, 2 bad spec or usage, 3 failed or partial, 4 cancelled, 5 this environment cannot do it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from typing import Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from actors import interrupts
from farm.cli import (
    approve,
    check,
    cleanup,
    control,
    doctor,
    importing,
    init,
    lock,
    migrate,
    models,
    nodes,
    notify,
    pick,
    plan,
    recipes,
    render,
    report,
    retry,
    schema,
    selftest,
    serve,
    status,
    submit,
    verify,
    why,
)
from farm.cli.output import emit_note, emit_text, report_error
from farm.cli.usage import USAGE, usage_error
from jobs.errors import FarmError, JobCancelled
from jobs.version import VERSION

RENDERING = {"render", "resume"}
INTERRUPTED = 130
"""What typer answers with after Ctrl-C."""


def _version(asked: bool) -> None:
    if asked:
        emit_text(f"farm {VERSION}")
        raise typer.Exit


app = typer.Typer(
    name="farm",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS = (
    init,
    importing,
    schema,
    check,
    migrate,
    plan,
    recipes,
    models,
    selftest,
    doctor,
    render,
    submit,
    status,
    why,
    control,
    retry,
    approve,
    pick,
    lock,
    verify,
    cleanup,
    report,
    serve,
    notify,
    nodes,
)
for module in VERBS:
    module.register(app)


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Render long AI films with LTX-Video and LTX-2 on many GPUs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and exits. SIGTERM ends it as Ctrl-C does, until a driver on Ray takes both."""
    signal.signal(signal.SIGTERM, interrupts.hear)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # A shell has what it runs in the background ignore it.
        signal.signal(signal.SIGINT, interrupts.hear)
    code = run(sys.argv[1:] if argv is None else argv)
    if code == JobCancelled.exit_code:
        # A step that goes on in the device's thread would hold the process until it ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code; no exception leaves it."""
    try:
        code = _command().main(list(argv), prog_name="farm", standalone_mode=False)
        return _stopped(argv) if code == INTERRUPTED else int(code or 0)
    except FarmError as error:
        return _refuse(error, argv)
    except Exit as done:
        return done.exit_code
    except TyperException as error:
        return _misused(error, argv)
    except (KeyboardInterrupt, Abort):
        return _stopped(argv)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report_bug(error)


@cache
def _command() -> TyperGroup:
    """Made once: reading the options off all verbs takes longer than most commands."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    return command


def _stopped(argv: Sequence[str]) -> int:
    goes_on = "; the same command continues where it stopped" if set(argv[:1]) & RENDERING else ""
    emit_note(f"stopped{goes_on}")
    return JobCancelled.exit_code


def _misused(error: TyperException, argv: Sequence[str]) -> int:
    """A command line that does not parse. A group without a command has printed its help already."""
    if error.exit_code != USAGE:
        return _report_bug(error)
    return _refuse(usage_error(error, argv), argv) if error.format_message() else USAGE


def _refuse(error: FarmError, argv: Sequence[str]) -> int:
    report_error(error, as_json=_wants_json(argv))
    return error.exit_code


def _wants_json(argv: Sequence[str]) -> bool:
    return any(
        word in ("--output=json", "-ojson") or (word in ("--output", "-o") and following == "json")
        for word, following in zip(argv, [*argv[1:], ""], strict=True)
    )


def _report_bug(error: Exception) -> int:
    """An exception outside the tree is our mistake, not the user's: say so, keep what was committed."""
    if os.environ.get("FARM_DEBUG"):
        emit_note(traceback.format_exc())
    where = traceback.extract_tb(error.__traceback__)[-1]
    emit_note(
        f"error: a bug in the farm: {type(error).__name__}: {error} ({where.filename}:{where.lineno})\n"
        "Nothing committed is lost. Run again with FARM_DEBUG=1 for the traceback, and please report it."
    )
    return 3


if __name__ == "__main__":
    main()

"""`farm lock`, `farm unlock`: keep what is committed whatever renders the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.verbs.lock import LockResult

ShotsOption = Annotated[
    list[str] | None,
    typer.Option("--shots", metavar="NAME", help="A shot, or VIDEO/SHOT; repeat for several."),
]


def lock(
    job: JobArgument,
    shots: ShotsOption = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Keep what is committed valid, whatever torch, driver, GPU or farm comes later."""
    from farm.verbs.lock import lock_job

    result = lock_job(runs, job, tuple(shots or ()), emit_note)
    return _answer(result, output, f"{amount(result.added, 'result')} locked")


def unlock(
    job: JobArgument,
    shots: ShotsOption = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Take the lock off again: what other software made is then made anew."""
    from farm.verbs.lock import unlock_job

    result = unlock_job(runs, job, tuple(shots or ()), emit_note)
    return _answer(result, output, f"{amount(result.taken, 'result')} unlocked" if shots else "unlocked")


def _answer(result: LockResult, output: OutputFormat, done: str) -> int:
    if output is OutputFormat.JSON:
        emit_json(result)
        return 0
    emit_text(f"{result.job}: {done}")
    for shot in result.shots:
        emit_text(f"  {shot.video}/{shot.shot}: {shot.locked} of {amount(shot.tasks, 'task')} locked")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("lock")(lock)
    app.command("unlock")(unlock)

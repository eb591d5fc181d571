"""`farm notify`: tell again what was not notified, or try the addresses of a label."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli.options import Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS


def notify(
    job: Annotated[
        str | None,
        typer.Argument(metavar="JOB", help="Whose end is sent to those that have not heard of it."),
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", metavar="LABEL", help="Send a trial to the addresses of a label.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Send the end of a job that was not notified, or a trial to the addresses of a label."""
    from farm.cli.results import NotifyResult
    from jobs.errors import JobFailed, Problem, UsageError

    if (job is None) is (test is None):
        rule = "a job, or --test with a label"
        raise UsageError([Problem("farm notify", "both" if job else "neither", rule, "name one of them")])
    fault = _trial(test) if test else _tell(runs, job or "")
    if fault:
        raise JobFailed(fault)
    if output is OutputFormat.JSON:
        emit_json(NotifyResult(job, test))
    else:
        emit_text(f"{test} was notified" if test else f"{job}: nothing is left to tell")
    return 0


def _trial(label: str) -> str:
    from farm.notify.addresses import addresses_of
    from farm.notify.sending import Message, send

    trial = Message("farm: a trial", "Ends of jobs with this label are sent here.", good=True)
    missed = send(trial, addresses_of(label)).missed
    return (
        f"{label} was not notified at {', '.join(missed)}: look at the address, and at who answers there"
        if missed
        else ""
    )


def _tell(runs: str, job: str) -> str:
    from farm.notify.endings import tell
    from farm.verbs.run import JobDocuments

    run = JobDocuments.open(runs, job)
    return tell(run.store, run.state) if run.state else ""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("notify")(notify)

"""`farm report`: write `report.html` into the run directory."""

from __future__ import annotations

import typer

from farm.cli.options import DEFAULT_RUNS, JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.results import ReportResult


def report(job: JobArgument, runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """Write the report of a job, while it runs or afterwards."""
    from farm.report import write_report
    from jobs.store import Store

    address = write_report(Store.find(runs, job))
    if output is OutputFormat.JSON:
        emit_json(ReportResult(job, address))
    else:
        emit_text(address)
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("report")(report)

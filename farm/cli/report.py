"""`farm report`: write `report.html` into the run directory."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS

WATCH_INTERVAL_S = 15.0


def report(
    job: JobArgument,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Write it anew until the job ends.")] = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Write the report of a job, while it runs or afterwards."""
    from farm.cli.results import ReportResult
    from farm.report.write import write_report
    from jobs.store.store import Store

    address = write_report(Store.find(runs, job))
    if output is OutputFormat.JSON:
        emit_json(ReportResult(job, address))
    else:
        emit_text(address)
    if watch:
        _keep_fresh(runs, job)
    return 0


def _keep_fresh(runs: str, job: str) -> None:
    from farm.report.write import write_report
    from farm.state.job_state import LIVE
    from farm.verbs.run import JobDocuments
    from jobs.store.store import Store

    while JobDocuments.open(runs, job).outcome[0] in LIVE:
        time.sleep(WATCH_INTERVAL_S)
        write_report(Store.find(runs, job))


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("report")(report)

"""`farm verify`: read everything a job holds and name what is damaged."""

from __future__ import annotations

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount


def verify(job: JobArgument, runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """Hash every result and film of a job; exit 3 when something is damaged."""
    from farm.verbs.verify import verify_job

    report = verify_job(runs, job)
    if output is OutputFormat.JSON:
        emit_json(report)
    else:
        for damage in report.damage:
            emit_text(f"{damage.place}: {damage.fault}; {damage.cure}")
        match = f"{amount(report.results, 'result')} and {amount(report.films, 'film')} match"
        emit_text(f"{match}, {len(report.damage)} damaged")
    return 0 if report.ok else 3


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("verify")(verify)

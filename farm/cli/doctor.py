"""`farm doctor`: what would stop a job, each finding with its fix."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli.options import AllowPickle, ComfyUI, JobId, Overrides, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS

UNABLE = 5


def doctor(
    spec: Annotated[str | None, typer.Argument(metavar="[SPEC]", help="Examine what this job needs.")] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Ask the nodes of this Ray cluster.")
    ] = None,
    comfyui: ComfyUI = None,
    runs: Runs = DEFAULT_RUNS,
    job_id: JobId = None,
    overrides: Overrides = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Look for what would stop a job on this machine or cluster; exit 5 when it cannot run."""
    from farm.doctor.examine import Subject, examine
    from farm.options import RenderOptions
    from farm.specs.load import load

    options = RenderOptions(overrides=tuple(overrides or ()), comfyui=comfyui, allow_pickle=allow_pickle)
    loaded = load(spec, options) if spec else None
    report = examine(Subject(runs, loaded, address, comfyui, job_id))
    if output is OutputFormat.JSON:
        emit_json(report)
    else:
        for finding in report.findings:
            emit_text(str(finding))
    return 0 if report.able else UNABLE


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("doctor")(doctor)

"""`farm render`: a spec in, films out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli.options import DEFAULT_RUNS, AllowPickle, Overrides, Runs, SpecArgument
from farm.cli.output import Output, OutputFormat, emit_json, emit_text

if TYPE_CHECKING:
    from farm.api import RenderOptions, SpecSource
    from jobs.graph import Stage


def render(
    spec: SpecArgument,
    serial: Annotated[bool, typer.Option("--serial", help="One process, no Ray: the reference.")] = False,
    topology: Annotated[
        str | None, typer.Option("--topology", "-t", help="mono, sample=2,upscale+decode=1, or auto.")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, help="GPUs to use; logical without GPUs.")
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help="Join this Ray cluster.")] = None,
    runs: Runs = DEFAULT_RUNS,
    job_id: Annotated[str | None, typer.Option("--job-id", help="Run directory; the spec's name.")] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="STAGE", help="Stop after encode, sample, upscale or decode."),
    ] = None,
    overrides: Overrides = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Render a job; the same command continues one that stopped."""
    from farm.api import RenderOptions

    options = RenderOptions(
        runs=runs,
        job_id=job_id,
        serial=serial,
        topology=topology,
        gpus=gpus,
        address=address,
        until=_stage(until),
        overrides=tuple(overrides or ()),
        allow_pickle=allow_pickle,
    )
    return run_to_end(spec, options, output)


def run_to_end(spec: SpecSource, options: RenderOptions, output: OutputFormat) -> int:
    """Renders with progress on standard error, then prints the films; returns the exit code."""
    from farm.api import render as start
    from farm.cli.display import follow
    from farm.state import EXIT_CODES
    from jobs.errors import JobFailed

    finished = follow(start(spec, options))
    if finished is None:
        raise JobFailed("the driver ended without a result; run the same command again")
    if output is OutputFormat.JSON:
        emit_json(finished.state)
    else:
        _print_films(finished.state)
    return EXIT_CODES[finished.outcome]


def _stage(name: str | None) -> Stage | None:
    from jobs.errors import Problem, UsageError
    from jobs.graph import Stage

    if name is None:
        return None
    stages = [stage.value for stage in Stage]
    if name not in stages:
        raise UsageError([Problem("--until", repr(name), f"one of {', '.join(stages)}", "name a stage")])
    return Stage(name)


def _print_films(state: dict[str, Any]) -> None:
    for film in state["videos"]:
        emit_text(film["path"])
    if state["failed"]:
        emit_text(f"{len(state['failed'])} task(s) failed; `farm why {state['job']}` says why")


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("render")(render)

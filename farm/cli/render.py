"""`farm render`: a spec in, films out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import (
    AllowPickle,
    ComfyUI,
    JobId,
    Overrides,
    Resume,
    Runs,
    SpecArgument,
    refuse_beside_serial,
)
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from jobs.commands import DEFAULT_RUNS, job_command, resume_command
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.cli.results import RenderResult
    from farm.events import JobFinished
    from farm.options import RenderOptions
    from farm.specs.load import SpecSource
    from jobs.store.store import Store
    from jobs.tasks.task import Stage

SerialOption = Annotated[bool, typer.Option("--serial", help="One process, no Ray: the reference.")]
TopologyOption = Annotated[
    str | None, typer.Option("--topology", "-t", help="mono, sample=2,upscale+decode=1, or auto.")
]
GpusOption = Annotated[int | None, typer.Option("--gpus", min=1, help="GPUs to use; logical without GPUs.")]
AddressOption = Annotated[str | None, typer.Option("--address", help="Join this Ray cluster.")]
GraceOption = Annotated[
    float | None,
    typer.Option(
        "--grace", metavar="SECONDS", min=0, help="On SIGTERM, give running steps this long to finish."
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="STAGE", help="Last stage: encode, sample, upscale, decode or segment."),
]


def render(
    spec: SpecArgument,
    serial: SerialOption = False,
    topology: TopologyOption = None,
    gpus: GpusOption = None,
    address: AddressOption = None,
    grace: GraceOption = None,
    runs: Runs = DEFAULT_RUNS,
    job_id: JobId = None,
    until: UntilOption = None,
    overrides: Overrides = None,
    resume: Resume = False,
    comfyui: ComfyUI = None,
    allow_pickle: AllowPickle = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Render a job; the same command continues one that stopped."""
    from farm.options import RenderOptions
    from farm.submission.refusal import traced

    refuse_beside_serial(serial, topology=topology, gpus=gpus, address=address, grace=grace)
    options = RenderOptions(
        runs=runs,
        job_id=job_id,
        serial=serial,
        topology=topology,
        gpus=gpus,
        address=address,
        grace_s=grace,
        until=_stage(until),
        overrides=tuple(overrides or ()),
        comfyui=comfyui,
        allow_pickle=allow_pickle,
        resume=resume,
    )
    with traced(spec, options):
        return run_to_end(spec, options, output)


def run_to_end(spec: SpecSource, options: RenderOptions, output: OutputFormat) -> int:
    """Renders with progress on standard error, writes the report, prints the films; returns the exit code."""
    from farm.api import render as start
    from farm.cli.display import follow
    from farm.state.job_state import EXIT_CODES
    from jobs.errors import JobFailed

    finished = follow(start(spec, options))
    if finished is None:
        raise JobFailed("the driver ended without a result; run the same command again")
    result = _result(finished, options.runs_url)
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        _print(result, options.runs_url)
    return EXIT_CODES[finished.outcome]


def _result(finished: JobFinished, runs: str) -> RenderResult:
    from farm.cli.results import RenderResult
    from farm.state.job_state import INTERRUPTED, JobState
    from jobs.store.opening import open_backend
    from jobs.store.store import Store

    # A render that lost its storage has a result, and no run directory to find.
    store = Store(open_backend(runs, finished.job), runs, finished.job)
    state = JobState.from_json(finished.state) or JobState(finished.job, finished.outcome)
    report = _write_report(store) if finished.outcome != INTERRUPTED else ""
    return RenderResult(
        job=state.job,
        outcome=state.outcome,
        reason=state.reason,
        run_dir=store.url,
        report=report,
        videos=state.videos,
        tasks=state.tasks,
        failed=state.failed,
        exact=state.exact,
        topology=state.topology,
        started_s=state.started_s,
        ended_s=state.ended_s,
    )


def _write_report(store: Store) -> str:
    """The report's address; an error on the way is reported, and does not undo a finished render."""
    from farm.report.write import write_report
    from jobs.errors import FarmError

    try:
        return write_report(store) if store.exists() else ""
    except (FarmError, OSError) as error:
        reason, again = str(error).splitlines()[0], job_command("report", store.job_id, store.runs_url)
        emit_note(f"no report: {reason}; `{again}` tries again")
        return ""


def _stage(name: str | None) -> Stage | None:
    from jobs.errors import Problem, UsageError
    from jobs.tasks.task import Stage

    if name is None:
        return None
    stages = [stage.value for stage in Stage]
    if name not in stages:
        raise UsageError([Problem("--until", repr(name), f"one of {', '.join(stages)}", "name a stage")])
    return Stage(name)


def _print(result: RenderResult, runs: str) -> None:
    from farm.state.job_state import PAUSED

    for file in (file for film in result.videos for file in film.files):
        emit_text(file.path)
    if result.report:
        emit_text(f"report {result.report}")
    if result.failed:
        why = job_command("why", result.job, runs)
        emit_text(f"{amount(len(result.failed), 'task')} quarantined; `{why}` says why")
    elif result.reason:
        emit_text(f"{result.outcome}: {result.reason}")
    if result.outcome == PAUSED:
        emit_text(f"next: {_next_step(runs, result.job, result.topology)}")


def _next_step(runs: str, job: str, topology: str) -> str:
    from farm.verbs.why import why_job
    from jobs.errors import FarmError

    try:
        return why_job(runs, job).next_step
    except FarmError:
        # The storage that the job paused for tells nothing, either.
        return f"restore it, then `{resume_command(job, runs, topology)}`"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("render")(render)

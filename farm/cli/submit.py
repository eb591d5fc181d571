"""`farm submit`: the render as a job of a Ray cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import AllowPickle, ComfyUI, Overrides, Resume
from farm.cli.output import Output, OutputFormat, emit_json, emit_part, emit_text

if TYPE_CHECKING:
    from cluster.job_server.jobs import JobServer
    from farm.options import RenderOptions
    from farm.submission.submit import Submission, SubmitRequest


SpecOption = Annotated[str, typer.Argument(metavar="SPEC", help="Job spec; a path of the cluster.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address", help="The cluster's dashboard, http://head-node:8265. Left out: this machine's."
    ),
]
RunsOption = Annotated[
    str | None,
    typer.Option(
        "--runs", envvar="FARM_RUNS", help="Run directories, a path there; left out, its own FARM_RUNS."
    ),
]
JobIdOption = Annotated[str | None, typer.Option("--job-id", help="Run directory; the spec's name.")]
TopologyOption = Annotated[str | None, typer.Option("--topology", "-t", help="As in `farm render`.")]
GpusOption = Annotated[int | None, typer.Option("--gpus", min=1, help="As in `farm render`.")]
GraceOption = Annotated[
    float | None, typer.Option("--grace", metavar="SECONDS", min=0, help="As in `farm render`.")
]
WorkingDirOption = Annotated[
    str | None, typer.Option("--working-dir", help="Upload this folder (100 MiB at most).")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Check the spec, show the command, submit nothing."),
]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not follow the render.")]


def submit(
    spec: SpecOption,
    address: AddressOption = None,
    runs: RunsOption = None,
    job_id: JobIdOption = None,
    topology: TopologyOption = None,
    gpus: GpusOption = None,
    grace: GraceOption = None,
    overrides: Overrides = None,
    comfyui: ComfyUI = None,
    allow_pickle: AllowPickle = False,
    resume: Resume = False,
    working_dir: WorkingDirOption = None,
    dry_run: DryRunOption = False,
    no_wait: NoWaitOption = False,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Render on a cluster through its job server. SPEC, --runs and the output are paths there."""
    from farm.cli.results import SubmitResult
    from farm.options import RenderOptions
    from farm.submission.submit import SubmitRequest
    from farm.submission.submit import submit as hand_over

    arguments = _arguments(topology, gpus, grace, comfyui, allow_pickle, resume)
    request = SubmitRequest(spec, runs, job_id, address, tuple(overrides or ()), arguments, working_dir)
    if dry_run:
        options = RenderOptions(
            topology=topology, overrides=request.overrides, comfyui=comfyui, allow_pickle=allow_pickle
        )
        return _rehearse(request, options, output)
    server, submission = hand_over(request)
    as_text = output is OutputFormat.TEXT
    if as_text:
        emit_text(f"submitted {submission.submission_id} to {submission.address}: {submission.command}")
        emit_text(f"it renders {spec} as it stands when the job begins, edits since its last render included")
    if no_wait:
        if not as_text:
            emit_json(SubmitResult(**asdict(submission)))
        return 0
    return _follow(server, submission, as_text)


def _follow(server: JobServer, submission: Submission, as_text: bool) -> int:
    """What the render says, until it ends."""
    from farm.cli.results import SubmitResult
    from farm.submission.submit import ended, follow

    for text in follow(server, submission):
        emit_part(text, note=not as_text)
    end = ended(server, submission)
    if not as_text:
        emit_json(SubmitResult(**asdict(submission), **asdict(end)))
    return end.exit_code


def _rehearse(request: SubmitRequest, options: RenderOptions, output: OutputFormat) -> int:
    from farm.cli.results import SubmitResult
    from farm.submission.submit import plan_submission, rehearse

    checked = rehearse(request, options)
    planned = plan_submission(request)
    said = "no mistakes" if checked else f"{request.spec} is not on this machine: the cluster will check it"
    if output is OutputFormat.JSON:
        emit_json(SubmitResult(**asdict(planned), message=f"{said}; nothing was submitted"))
    else:
        emit_text(f"{planned.job}: {said}; nothing was submitted")
        emit_text(f"without --dry-run the cluster runs: {planned.command}")
    return 0


def _arguments(
    topology: str | None,
    gpus: int | None,
    grace: float | None,
    comfyui: str | None,
    allow_pickle: bool,
    resume: bool,
) -> tuple[str, ...]:
    words: list[str] = []
    if topology:
        words += ["--topology", topology]
    if gpus:
        words += ["--gpus", str(gpus)]
    if grace is not None:
        words += ["--grace", f"{grace:g}"]
    if comfyui:
        words += ["--comfyui", comfyui]
    if allow_pickle:
        words.append("--allow-pickle")
    if resume:
        words.append("--resume")
    return tuple(words)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("submit")(submit)

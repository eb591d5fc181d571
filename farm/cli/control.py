"""`farm pause`, `resume`, `cancel`: they leave a request in the run directory, which the driver reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli.options import AllowPickle, ComfyUI, JobArgument, Runs, refuse_beside_serial
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS

if TYPE_CHECKING:
    from farm.verbs.control import ControlResult


def pause(job: JobArgument, runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """Let a running job finish what is in work and start nothing new."""
    from farm.verbs.control import pause as ask

    return _answer(ask(runs, job), output)


def cancel(job: JobArgument, runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """End a job; what is committed stays."""
    from farm.verbs.control import cancel as ask

    return _answer(ask(runs, job), output)


def resume(
    job: JobArgument,
    serial: Annotated[bool, typer.Option("--serial", help="One process, no Ray.")] = False,
    topology: Annotated[str | None, typer.Option("--topology", "-t", help="As in `farm render`.")] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", min=1, help="As in `farm render`.")] = None,
    address: Annotated[str | None, typer.Option("--address", help="Join this Ray cluster.")] = None,
    comfyui: ComfyUI = None,
    allow_pickle: AllowPickle = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Continue a paused, cancelled or interrupted job from its run directory."""
    from farm.cli.render import run_to_end
    from farm.options import RenderOptions
    from farm.verbs.control import resume as ask

    refuse_beside_serial(serial, topology=topology, gpus=gpus, address=address)
    result = ask(runs, job)
    if not result.needs_driver:
        return _answer(result, output)
    options = RenderOptions(
        runs=runs,
        job_id=job,
        serial=serial,
        topology=topology,
        gpus=gpus,
        address=address,
        comfyui=comfyui,
        allow_pickle=allow_pickle,
        resume=True,
    )
    return run_to_end(_stored_spec(runs, job), options, output)


def _stored_spec(runs: str, job: str) -> dict[str, Any]:
    from jobs.errors import Problem, SpecError, UsageError
    from jobs.parsing.document import parse_yaml
    from jobs.parsing.text import MAX_FULL_BYTES
    from jobs.store.documents import SPEC
    from jobs.store.store import Store

    store = Store.find(runs, job)
    entry = store.backend.stat(SPEC)
    if entry is not None and entry.size > MAX_FULL_BYTES:
        value = f"{entry.size} bytes, more than a spec has"
    else:
        try:
            return parse_yaml(store.read_text(SPEC) or "", SPEC, MAX_FULL_BYTES).data
        except SpecError as error:
            fault = error.problems[0]
            value = f"missing or damaged ({fault.place}: {fault.value})"
    rule, remedy = "a readable spec.yaml in the run directory", "render the spec's own file instead"
    raise UsageError([Problem(f"{job}/{SPEC}", value, rule, remedy)])


def _answer(result: ControlResult, output: OutputFormat) -> int:
    if output is OutputFormat.JSON:
        emit_json(result)
    else:
        emit_text(f"{result.job}: {result.message}")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)

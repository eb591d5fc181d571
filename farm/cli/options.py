"""Arguments that several verbs share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from jobs.commands import DEFAULT_RUNS


def _jobs(ctx: typer.Context, incomplete: str) -> list[str]:
    """For shell completion: the jobs of the runs directory that was named, or would be used."""
    from jobs.errors import FarmError
    from jobs.store.opening import JOB_ID, open_backend
    from jobs.store.store import Store

    runs = ctx.params.get("runs") or os.environ.get("FARM_RUNS") or DEFAULT_RUNS
    try:
        names = [name for name in open_backend(runs, "listing").folders() if name.startswith(incomplete)]
        stores = (Store(open_backend(runs, name), runs, name) for name in names if JOB_ID.match(name))
        return [store.job_id for store in stores if store.exists()]
    except FarmError:
        return []


def refuse_beside_serial(serial: bool, **options: object) -> None:
    """Options of Ray would be left out of account by a serial render. Raises UsageError."""
    from farm.options import SERIAL_RULE
    from jobs.errors import Problem, UsageError

    given = {name: value for name, value in options.items() if value is not None} if serial else {}
    problems = [
        Problem(f"--{name}", f"{value} beside --serial", SERIAL_RULE, f"leave out --{name} or --serial")
        for name, value in given.items()
    ]
    if problems:
        raise UsageError(problems)


SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="Job spec, YAML or JSON.")]
JobArgument = Annotated[
    str,
    typer.Argument(metavar="JOB", help="Job id: the name of its run directory.", autocompletion=_jobs),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-p", metavar="KEY=VALUE", help="Override a field of the spec.")
]
Runs = Annotated[
    str, typer.Option("--runs", envvar="FARM_RUNS", help="Where run directories are kept: a folder or URL.")
]
JobId = Annotated[str | None, typer.Option("--job-id", help="Run directory; the spec's name.")]
Resume = Annotated[bool, typer.Option("--resume", help="Take a cancelled job up again.")]
ComfyUI = Annotated[
    str | None,
    typer.Option(
        "--comfyui", metavar="FOLDER", help="ComfyUI, whose code runs; left out, that of COMFYUI_PATH."
    ),
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run code.")
]

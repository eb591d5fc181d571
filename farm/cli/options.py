"""Arguments that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="Job spec, YAML or JSON.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Job id: the name of its run directory.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-p", metavar="KEY=VALUE", help="Override a field of the spec.")
]
Runs = Annotated[
    str, typer.Option("--runs", envvar="FARM_RUNS", help="Where run directories are kept: a folder or URL.")
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run code.")
]
DEFAULT_RUNS = "runs"

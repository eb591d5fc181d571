"""`farm pick`: choose which take of a shot is in the film."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.verbs.pick import PickResult

ShotArgument = Annotated[str, typer.Argument(metavar="SHOT", help="Name of the shot.")]
TakeArgument = Annotated[int, typer.Argument(metavar="TAKE", help="Number of the take, from 1.")]
VideoOption = Annotated[
    str | None, typer.Option("--video", help="Its film, where several have a shot of that name.")
]


def pick(
    job: JobArgument,
    shot: ShotArgument,
    take: TakeArgument,
    video: VideoOption = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Choose which take of a shot is in the film; the next render makes it, and samples nothing."""
    from farm.verbs.pick import pick as write_down
    from farm.verbs.run import JobDocuments

    result = write_down(runs, job, shot, take, video)
    if output is OutputFormat.JSON:
        emit_json(result)
        return 0
    emit_text("\n".join(_lines(result, JobDocuments.open(runs, job).command("resume"))))
    return 0


def _lines(result: PickResult, resume: str) -> list[str]:
    instead = f" instead of take {result.before}" if result.before != result.take else ""
    lines = [
        f"take {result.take} of {result.shot} (seed {result.seed}) is picked for {result.video}{instead}"
    ]
    if result.left:
        lines.append(f"{amount(result.left, 'task')} of it are still to be rendered")
    return [*lines, "the driver that renders the job takes it in" if result.busy else f"run `{resume}`"]


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("pick")(pick)

"""`farm approve`: let the second pass of chosen chunks follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.retry import ChunksOption, EverythingOption, VideosOption, require_choice
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    import typer


def approve(
    job: JobArgument,
    videos: VideosOption = None,
    chunks: ChunksOption = None,
    everything: EverythingOption = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Approve the first pass of chosen chunks; their second pass follows at once, or with the next render."""
    from farm.verbs.approve import approve as write_down
    from farm.verbs.run import JobDocuments
    from jobs.tasks.retry import Selection, parse_chunks

    require_choice("approve", everything, bool(videos or chunks))
    chosen = Selection(frozenset(videos or ()), parse_chunks(chunks) if chunks else frozenset())
    result = write_down(runs, job, chosen)
    if output is OutputFormat.JSON:
        emit_json(result)
        return 0
    emit_text(f"{amount(len(result.approved), 'chunk')} approved, {amount(len(result.left), 'chunk')} left")
    second = f"the second pass of {amount(len(result.free), 'chunk')}"
    if result.free and result.busy:
        emit_text(f"the driver that renders the job goes on with {second}")
    elif result.free:
        emit_text(f"run `{JobDocuments.open(runs, job).command('resume')}` for {second}")
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("approve")(approve)

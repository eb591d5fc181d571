"""`farm retry`: render chosen chunks again, after saying what depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    from jobs.tasks.retry import Retry, RetryState


VideosOption = Annotated[list[str] | None, typer.Option("--videos", help="Names; repeat for several.")]
ChunksOption = Annotated[str | None, typer.Option("--chunks", metavar="3-5,8", help="Chunks, from 0.")]
StateOption = Annotated[str | None, typer.Option("--state", metavar="failed|inexact", help="Pick by state.")]
EverythingOption = Annotated[bool, typer.Option("--all", help="Every chunk of every video.")]
ReseedOption = Annotated[bool, typer.Option("--reseed", help="Sample the chosen chunks with new seeds.")]
PromptOption = Annotated[
    str | None, typer.Option("--prompt", help="Sample the chosen chunks with another prompt.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be rendered again.")]


def retry(
    job: JobArgument,
    videos: VideosOption = None,
    chunks: ChunksOption = None,
    state: StateOption = None,
    everything: EverythingOption = False,
    reseed: ReseedOption = False,
    prompt: PromptOption = None,
    dry_run: DryRunOption = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Void chosen results and what depends on them; the driver, or the next render, makes them anew."""
    from farm.verbs.retry import apply_retry, checked_prompt, retry_closure
    from farm.verbs.run import JobDocuments
    from jobs.tasks.retry import Selection, parse_chunks

    require_choice("retry", everything, bool(videos or chunks or state))
    selection = Selection(
        videos=frozenset(videos or ()),
        chunks=parse_chunks(chunks) if chunks else frozenset(),
        state=_state(state),
        reseed=reseed,
        prompt=checked_prompt(prompt),
    )
    report = retry_closure(runs, job, selection)
    if output is OutputFormat.TEXT:
        _list(report)
    if not dry_run:
        report = apply_retry(runs, job, selection, emit_note)
    if output is OutputFormat.JSON:
        emit_json(report)
    else:
        _say(report, JobDocuments.open(runs, job).command("resume"))
    return 0


def _say(report: Retry, resume: str) -> None:
    count = amount(len(report.closure), "task")
    if report.dry_run:
        emit_text(f"{count} would be rendered again; nothing was changed")
    elif report.asked:
        emit_text(f"the driver that renders the job makes {count} again")
    else:
        if report.unlocked:
            emit_text(f"{amount(report.unlocked, 'result')} of these were locked, and are no longer")
        emit_text(f"{count} will be rendered again; run `{resume}`")


def _list(report: Retry) -> None:
    for task in report.closure:
        emit_text(f"again {task}")
    for task in report.again:
        emit_text(f"decoded once more {task}")


def require_choice(verb: str, everything: bool, chosen: bool) -> None:
    """A forgotten option must not throw a whole job away."""
    from jobs.errors import Problem, UsageError

    if everything is not chosen:
        return
    rule = "--videos, --chunks or --state, or --all for the whole job"
    value = "--all beside a choice" if everything else "nothing chosen"
    raise UsageError([Problem(f"farm {verb}", value, rule, "say which; --dry-run shows what depends on it")])


def _state(name: str | None) -> RetryState | None:
    from jobs.errors import Problem, UsageError
    from jobs.tasks.retry import RetryState

    states = [state.value for state in RetryState]
    if name is not None and name not in states:
        raise UsageError([Problem("--state", repr(name), f"one of {', '.join(states)}", "name a state")])
    return RetryState(name) if name else None


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("retry")(retry)

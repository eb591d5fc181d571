"""`farm why`: what happened to a job or a task, and what to do about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text, emit_warnings
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.verbs.why import HistoryEntry, JobStory, TaskStory


def why(
    job: JobArgument,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="For example dawn/3/sample.")] = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Say why a job or a task is where it is."""
    from farm.verbs.why import why_job, why_task

    story = why_task(runs, job, task) if task else why_job(runs, job)
    emit_warnings(story.warnings)
    if output is OutputFormat.JSON:
        emit_json(story)
    elif task:
        _print_task(story)  # type: ignore[arg-type]
    else:
        _print_job(story)  # type: ignore[arg-type]
    return 0


def _print_job(story: JobStory) -> None:
    from farm.state.progress import said_of

    emit_text(f"{story.job}: {story.outcome}{f', {story.reason}' if story.reason else ''}")
    for failed in story.failed:
        emit_text(f"  quarantined {failed.task} ({failed.kind}): {said_of(failed.task, failed.message)}")
    if story.blocked:
        emit_text(f"  {amount(story.blocked, 'task')} cannot run without those")
    _print_steps(story.notices)
    emit_text(f"next: {story.next_step}")


def _print_task(story: TaskStory) -> None:
    emit_text(f"{story.task}: {story.state}; {story.summary}")
    for name in story.waits_for:
        emit_text(f"  waits for {name}")
    _print_steps(story.steps)
    for key, value in story.provenance.items():
        if value not in (None, [], "") and key != "task":
            emit_text(f"  {key}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_steps(steps: tuple[HistoryEntry, ...]) -> None:
    for step in steps:
        emit_text(f"  {time.strftime('%H:%M:%S', time.localtime(step.at_s))} {step.what}")


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("why")(why)

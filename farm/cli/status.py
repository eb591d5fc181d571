"""`farm status`, `farm list`, `farm logs`: how jobs stand, from their run directories alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.display import bar, clock, event_line
from farm.cli.options import DEFAULT_RUNS, JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text
from farm.cli.table import columns
from farm.progress import said_of

if TYPE_CHECKING:
    from farm.verbs.status import JobStatus, VideoStatus

WATCH_INTERVAL_S = 1.0


def status(
    job: JobArgument,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until the job ends.")] = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Show how far a job is."""
    from farm.verbs.status import job_status

    if watch and output is OutputFormat.TEXT:
        return _watch(runs, job)
    found = job_status(runs, job)
    if output is OutputFormat.JSON:
        emit_json(found)
    else:
        emit_text("\n".join(lines(found, time.time())))
    return 0


def list_jobs(runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """List the jobs of a runs directory."""
    from farm.verbs.listing import list_runs

    rows = list_runs(runs)
    if output is OutputFormat.JSON:
        emit_json(rows)
        return 0
    cells = [(row.job, row.outcome, f"{row.committed}/{row.total}") for row in rows]
    for line in columns(("job", "outcome", "tasks"), cells) if cells else (f"no jobs in {runs}",):
        emit_text(line)
    return 0


def logs(
    job: JobArgument,
    task: Annotated[
        str | None, typer.Option("--task", help="Only lines of this task, e.g. dawn/3/sample.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Print the event log of a job, all runs, oldest first."""
    from farm.events import from_record
    from farm.verbs.run import Run
    from farm.verbs.why import find_task

    run = Run.open(runs, job)
    wanted = find_task(run, task) if task else None
    records = [record for record in run.store.events() if wanted is None or record.get("task") == wanted]
    if output is OutputFormat.JSON:
        emit_json(records)
        return 0
    for record in records:
        event = from_record(record)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["at_s"]))
        if event is not None:
            emit_text(f"{stamp} {event_line(event) or _task_line(record)}")
    return 0


def _task_line(record: dict) -> str:
    words = [record["event"].removeprefix("task_"), record.get("task", "")]
    if "worker" in record:
        words.append(f"on {record['worker']}")
    if record.get("preview"):
        words = ["preview of", record["video"], record["path"]]
    if "seconds" in record:
        words.append(f"{record['seconds']:.2f} s")
    return " ".join(word for word in words if word)


def lines(found: JobStatus, now_s: float) -> list[str]:
    """The text form of a job's status."""
    head = f"{found.job}: {found.outcome}{f', {found.reason}' if found.reason else ''}"
    rows = [head, f"  run directory {found.run_dir}"]
    for stage in found.stages:
        rows.append(f"  {stage.stage:<8}{bar(stage.committed, stage.total)} {stage.committed}/{stage.total}")
    for video in found.videos:
        rows.append(f"  film {video.name} {video.committed}/{video.segments} segments: {_film(video)}")
    for busy in found.busy:
        rows.append(f"  {busy.worker} works on {busy.task} since {clock(now_s - busy.since_s)}")
    for failed in found.failed:
        rows.append(f"  given up {failed.task} ({failed.kind}): {said_of(failed.task, failed.message)}")
    if found.requests:
        rows.append(f"  asked to {', '.join(found.requests)}")
    return rows


def _film(video: VideoStatus) -> str:
    if video.film is None:
        return "not finished"
    if not video.present:
        return f"{video.film.path} (gone)"
    older = " (of an earlier render)" if video.committed < video.segments else ""
    return f"{video.film.path}{older}"


def _watch(runs: str, job: str) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from farm.state import RUNNING
    from farm.verbs.status import job_status

    with Live(console=Console(), refresh_per_second=4) as live:
        while True:
            found = job_status(runs, job)
            live.update(Text("\n".join(lines(found, time.time()))))
            if found.outcome != RUNNING:
                break
            time.sleep(WATCH_INTERVAL_S)
    if not live.console.is_terminal:
        emit_text()
    return 0


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("list")(list_jobs)
    app.command("status")(status)
    app.command("logs")(logs)

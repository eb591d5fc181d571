"""`farm status`, `farm list`, `farm logs`: how jobs stand, from their run directories alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import JobArgument, Runs
from farm.cli.output import Output, OutputFormat, emit_json, emit_text, emit_warnings
from farm.cli.table import columns
from jobs.commands import DEFAULT_RUNS
from jobs.wording import amount, clock, printable, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.verbs.listing import JobRow
    from farm.verbs.status import JobStatus, VideoStatus

WATCH_INTERVAL_S = 1.0
HEADS: tuple[str, ...] = ("job", "outcome", "done", "tasks", "films", "size", "began", "by", "why")
BY = HEADS.index("by")
MOST_WHY = 160


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
    emit_warnings(found.warnings)
    if output is OutputFormat.JSON:
        emit_json(found)
    else:
        emit_text("\n".join(lines(found, time.time())))
    return 0


def list_jobs(runs: Runs = DEFAULT_RUNS, output: Output = OutputFormat.TEXT) -> int:
    """List the jobs of a runs directory."""
    from farm.verbs.listing import closed_to_you, list_runs

    rows = list_runs(runs)
    emit_warnings(closed_to_you(runs))
    if output is OutputFormat.JSON:
        emit_json(rows)
        return 0
    for line in _table(rows) if rows else (f"no jobs in {runs}",):
        emit_text(line)
    return 0


def _table(rows: Sequence[JobRow]) -> list[str]:
    """A line for each job; who rendered it is said where that was somebody else."""
    from jobs.storage_problems import user_name

    table, me = [HEADS, *map(_cells, rows)], user_name()
    if all(row.user in ("", me) for row in rows):
        table = [(*cells[:BY], *cells[BY + 1 :]) for cells in table]
    return columns(table[0], table[1:])


def _cells(row: JobRow) -> tuple[str, ...]:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.started_s)) if row.started_s else ""
    done = f"{row.percent} %" if row.total else ""
    tasks, films = f"{row.committed}/{row.total}", f"{row.films}/{row.of_films}"
    why = row.reason if len(row.reason) <= MOST_WHY else f"{row.reason[:MOST_WHY]}..."
    return row.job, row.outcome, done, tasks, films, size(row.size_bytes), began, row.user, why


def logs(
    job: JobArgument,
    task: Annotated[
        str | None, typer.Option("--task", help="Only lines of this task, e.g. dawn/3/sample.")
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Print the event log of a job, all runs, oldest first."""
    from farm.events import to_record
    from farm.state.event_lines import log_line
    from farm.state.event_log import EventLog
    from farm.verbs.run import JobDocuments
    from farm.verbs.why import find_task, of_task

    run = JobDocuments.open(runs, job)
    wanted = find_task(run, task) if task else None
    log = EventLog(run.store)
    found = [logged for logged in log if wanted is None or of_task(logged.event, wanted)]
    emit_warnings(log.warnings)
    if output is OutputFormat.JSON:
        emit_json([to_record(logged.event, logged.at_s) for logged in found])
        return 0
    for logged in found:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(logged.at_s))
        emit_text(f"{stamp} {log_line(logged.event)}")
    return 0


def lines(found: JobStatus, now_s: float) -> list[str]:
    """The text form of a job's status."""
    from farm.cli.display import bar
    from farm.state.event_lines import gang_words
    from farm.state.mixture import mixture
    from farm.state.progress import said_of

    head = f"{found.job}: {found.outcome}{f', {found.reason}' if found.reason else ''}"
    rows = [head, f"  run directory {found.run_dir}", *_driven(found), *_times(found)]
    for stage in found.stages:
        rows.append(f"  {stage.stage:<8}{bar(stage.committed, stage.total)} {stage.committed}/{stage.total}")
    for video in found.videos:
        which = f" ({video.take.said})" if video.take else ""
        rows.append(f"  film {video.name}{which} {video.committed}/{video.segments} segments: {_film(video)}")
        rows += [f"    {said}" for said in mixture(video.film)] if video.film else []
    rows += [f"  {gang.worker} is {gang_words(gang.ranks)}" for gang in found.gangs]
    for busy in found.busy:
        does = "holds, queued," if busy.queued else "works on"
        rows.append(f"  {busy.worker} {does} {busy.task} since {clock(now_s - busy.since_s)}")
    for failed in found.failed:
        rows.append(f"  quarantined {failed.task} ({failed.kind}): {said_of(failed.task, failed.message)}")
    if found.locked:
        rows.append(f"  locked {amount(found.locked, 'task')} of {sum(each.total for each in found.stages)}")
    if found.requests:
        rows.append(f"  asked to {', '.join(found.requests)}")
    return rows


def _times(found: JobStatus) -> list[str]:
    known = [("elapsed", found.elapsed_s), ("ETA", found.eta_s)]
    times = [f"{what} {clock(seconds)}" for what, seconds in known if seconds is not None]
    return [f"  {', '.join(times)}"] if times else []


def _driven(found: JobStatus) -> list[str]:
    from farm.state.job_state import LIVE

    if not found.user:
        return []
    return [f"  rendered {'' if found.outcome in LIVE else 'last '}by {found.user} on {found.host}"]


def _film(video: VideoStatus) -> str:
    if video.film is None:
        return f"not finished; preview {video.preview}" if video.preview else "not finished"
    if not video.present:
        return f"{video.film.path} (gone)"
    older = " (of an earlier render)" if video.committed < video.segments else ""
    return ", ".join(f"{film.path}{older}" for film in (video.film, *video.more))


def _watch(runs: str, job: str) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from farm.state.job_state import LIVE
    from farm.verbs.status import job_status

    with Live(console=Console(), refresh_per_second=4) as live:
        while True:
            found = job_status(runs, job)
            live.update(Text(printable("\n".join(lines(found, time.time())))))
            if found.outcome not in LIVE:
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

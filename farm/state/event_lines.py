"""Events in words, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from farm.events import (
    Event,
    FilmDelivered,
    GangRank,
    JobFinished,
    JobPlanned,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    TaskVoided,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
    WorkerSuspended,
)
from farm.state.progress import said_of
from jobs.wording import amount


def gang_words(ranks: Sequence[GangRank]) -> str:
    """What the ranks of a gang compute on."""
    return f"a gang of {len(ranks)} ({'; '.join(map(str, ranks))})"


def log_line(event: Event) -> str:
    """The line of an event in the log, also of one that only moves counters."""
    if line := event_line(event):
        return line
    match event:
        case FilmDelivered():
            return f"preview of {event.video} {event.path}"
        case TaskCommitted():
            return f"committed {event.task} on {event.worker} {event.seconds:.2f} s"
        case TaskStarted() | TaskSuperseded():
            return f"{event.name.removeprefix('task_')} {event.task} on {event.worker}"
    return event.name.replace("_", " ")


def event_line(event: Event) -> str | None:
    """The line an event deserves in a plain log; None for events that only move counters."""
    match event:
        case JobPlanned():
            reused = f", {event.reused} already done" if event.reused else ""
            return (
                f"job {event.job}: {amount(len(event.videos), 'film')}, {event.frames} frames, "
                f"{amount(event.tasks, 'task')}{reused}\nrun directory {event.run_dir}"
            )
        case WorkerPlaced():
            return f"worker {event.worker} placed on {event.node}; it loads {', '.join(event.stages)}"
        case WorkerReady():
            after = f" after {event.seconds:.1f} s" if event.seconds else ""
            ranks = f": {gang_words(event.ranks)}" if event.ranks else ""
            return f"worker {event.worker} ready on {event.device}{after}{ranks}"
        case WorkerGone():
            during = f" during {', '.join(lost.task for lost in event.lost)}" if event.lost else ""
            return f"worker {event.worker} gone{during}: {event.reason}"
        case WorkerSuspended():
            return f"worker {event.worker} gets nothing for a while: {event.reason}"
        case TaskFailed():
            why = said_of(event.task, event.message)
            return f"{event.task} attempt {event.attempt} failed ({event.kind}): {why}; {event.then}"
        case TaskVoided():
            return f"voided {event.task}: {event.reason}"
        case Notice():
            return event.message
        case FilmDelivered(preview=False):
            return f"film {event.video}: {event.path} ({event.frames} frames at {event.fps:g} fps)"
        case JobFinished():
            return f"job {event.job}: {event.outcome}"
    return None

"""`farm why`: the story of a job, or of one task, with the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from farm.events import (
    Event,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    TaskVoided,
    WorkerGone,
)
from farm.state.attempts import Held, Holdings
from farm.state.event_log import EventLog, Logged
from farm.state.job_state import (  # fmt: skip
    CANCELLED,
    DONE,
    INTERRUPTED,
    PAUSED,
    PAUSED_BY_USER,
    REFUSED,
    RUNNING,
    STOPPED_EARLY,
    UNAPPROVED,
    WAITING,
    FailedTask,
)
from farm.state.progress import said_of, split_task
from farm.verbs.pick import not_taken_up
from farm.verbs.run import UNKNOWN, JobDocuments
from jobs.errors import FailureKind, Problem, UsageError
from jobs.places import did_you_mean
from jobs.store.lock import Driver

NOTICES = 10
NEXT: Mapping[str, str] = {
    RUNNING: "it is being rendered; `{status}` shows how far it is",
    WAITING: "it begins by itself as soon as the cluster has room; `{cancel}` takes it out of the queue",
    REFUSED: "nothing was started: correct what it names, then submit it again or `{render}`",
    DONE: "nothing is left to do",
    UNAPPROVED: "look at the drafts, then `{retry}` or `{approve}`, then `{resume}`",
    STOPPED_EARLY: "render it without --until for the films",
    PAUSED: "remove the cause, then `{resume}`; where it is in the spec, correct that, then `{render}`",
    CANCELLED: "`{resume}` continues it",
    INTERRUPTED: "`{resume}` continues it",
    UNKNOWN: "run `{render}` again; committed results are kept",
}
AFTER_FAILURES = "mend the cause, then `{retry}`, with --reseed for other seeds, and `{resume}`"
AFTER_INVALID = "correct the spec, or the file that it names, then `{render}`: committed results are kept"


class TaskState(StrEnum):
    """How one task stands."""

    COMMITTED = "committed"
    EVICTED = "evicted"
    FAILED = "failed"
    RUNNING = "running"
    BLOCKED = "blocked"
    WAITING = "waiting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened to a task, in words; `at_s` is epoch seconds."""

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class TaskStory:
    """One task: how it stands, what it waits for, all that happened to it, and how its result was made."""

    job: str
    task: str
    state: TaskState
    summary: str
    waits_for: tuple[str, ...]
    steps: tuple[HistoryEntry, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobStory:
    """One job: its outcome and cause, the quarantined tasks, how many are blocked by them, and what to do."""

    job: str
    outcome: str
    reason: str
    failed: tuple[FailedTask, ...]
    blocked: int
    notices: tuple[HistoryEntry, ...]
    next_step: str
    warnings: tuple[str, ...] = ()


Story = JobStory | TaskStory


def why_job(runs_url: str, job_id: str) -> JobStory:
    """Raises UsageError for an unknown job."""
    run = JobDocuments.open(runs_url, job_id)
    log = EventLog(run.store, newest_run=True)
    entries = list(log)
    return story_of(run, entries, log.warnings)


def story_of(run: JobDocuments, newest: Sequence[Logged], warnings: tuple[str, ...] = ()) -> JobStory:
    """The story of the job; `newest` are the events of its newest driver run."""
    outcome, reason = run.outcome
    failed = run.state.failed if run.state else ()
    notices = [_step(logged) for logged in newest if isinstance(logged.event, Notice)]
    return JobStory(
        job=run.job,
        outcome=outcome,
        reason=reason,
        failed=failed,
        blocked=_blocked(run, failed),
        notices=(*notices[-NOTICES:], *_refused(run)),
        next_step=_next_step(run, failed),
        warnings=warnings,
    )


def _refused(run: JobDocuments) -> tuple[HistoryEntry, ...]:
    """An attempt on a job that was rendered before, and is as that left it."""
    if run.refusal is None or run.outcome[0] == REFUSED:
        return ()
    return (HistoryEntry(run.refusal.at_s, f"a later attempt was refused: {run.refusal.reason}"),)


def _next_step(run: JobDocuments, failed: tuple[FailedTask, ...]) -> str:
    outcome, reason = run.outcome
    if run.fault:
        return run.way_out
    kinds = {task.kind for task in failed} if outcome not in (RUNNING, WAITING) else set()
    if kinds == {FailureKind.INVALID}:
        text = AFTER_INVALID
    elif kinds:
        text = AFTER_FAILURES
    else:
        outcome = INTERRUPTED if (outcome, reason) == (PAUSED, PAUSED_BY_USER) else outcome
        text = NEXT.get(outcome, NEXT[UNKNOWN])
        if outcome == DONE and (waiting := not_taken_up(run)):
            return waiting
    verbs = {"status": "status", "resume": "resume", "cancel": "cancel", "approve": "approve --all"}
    commands = {name: run.command(verb) for name, verb in verbs.items()}
    chosen = "retry --reseed --chunks 3" if outcome == UNAPPROVED else "retry --state failed"
    return text.format(**commands, retry=run.command(chosen), render=run.render_command)


def why_task(runs_url: str, job_id: str, task: str) -> TaskStory:
    """`task` such as `dawn/00003/sample` or `dawn/3/sample`; raises UsageError with the nearest tasks."""
    run = JobDocuments.open(runs_url, job_id)
    name = find_task(run, task)
    log = EventLog(run.store)
    steps, held = _story(log, name)
    state, summary, waits = _state_of(run, name, held)
    commit = run.store.commit(run.digests.get(name, "")) if state is TaskState.COMMITTED else None
    return TaskStory(
        job=run.job,
        task=name,
        state=state,
        summary=summary,
        waits_for=waits,
        steps=tuple(map(_step, steps)),
        provenance=dict(commit.provenance) if commit else {},
        warnings=log.warnings,
    )


def _story(log: EventLog, name: str) -> tuple[list[Logged], tuple[Held, ...]]:
    """What happened to the task, its workers' losses included, and the attempts of it, or ahead of it on its
    worker, that the newest run holds."""
    steps, holdings, run = [], Holdings(), ""
    for logged in log:
        if logged.run != run:
            holdings, run = Holdings(), logged.run
        ended = holdings.apply(logged.event, logged.at_s).ended
        if of_task(logged.event, name) or (
            isinstance(logged.event, WorkerGone) and any(each.task == name for each in ended)
        ):
            steps.append(logged)
    workers = [held.worker for held in holdings.holding(name)]
    return steps, tuple(held for worker in workers for held in holdings.held(worker))


def of_task(event: Event, name: str) -> bool:
    """Whether the event is one of the task's, the loss of a worker that held it included."""
    if isinstance(event, WorkerGone):
        return any(lost.task == name for lost in event.lost)
    return getattr(event, "task", None) == name


def find_task(run: JobDocuments, text: str) -> str:
    """The task that `text` means; raises UsageError."""
    video, chunk, stage = split_task(text)
    name = f"{video}/{int(chunk):05d}/{stage}" if chunk.isdigit() else text
    if name in run.graph.tasks:
        return name
    alike = [task for task in run.graph.tasks if split_task(task)[2] == stage or split_task(task)[0] == video]
    names = alike[:5000] or [task for task in run.graph.tasks if split_task(task)[1].isdigit()]
    rule, remedy = "must be a task of the job, VIDEO/CHUNK/STAGE", did_you_mean(name, names)
    raise UsageError([Problem("task", repr(text), rule, remedy)])


def _blocked(run: JobDocuments, failed: tuple[FailedTask, ...]) -> int:
    """How many tasks cannot run because of the failed ones."""
    if not failed:
        return 0
    roots = [task.task for task in failed if task.task in run.graph.tasks]
    closure = set(run.graph.closure(roots)) - set(roots)
    return len(closure - run.committed - run.evicted)


def _state_of(run: JobDocuments, name: str, held: Sequence[Held]) -> tuple[TaskState, str, tuple[str, ...]]:
    if name in run.committed:
        return TaskState.COMMITTED, "its result is in the store", ()
    if name in run.evicted:
        return TaskState.EVICTED, "it was deleted once all that read it were committed", ()
    failed = {task.task: task for task in (run.state.failed if run.state else ())}
    if name in failed:
        why = said_of(name, failed[name].message)
        return TaskState.FAILED, f"quarantined, {failed[name].kind}: {why}", ()
    if run.driver.driver is Driver.RUNNING and held:
        return TaskState.RUNNING, _in_work(name, held), ()
    return _blocked_by(run, name, set(failed))


def _in_work(name: str, held: Sequence[Held]) -> str:
    """On which worker it runs; or behind what it is queued there."""
    own = [each for each in held if each.task == name]
    if running := next((each for each in own if each.began_s is not None), None):
        return f"in work on {running.worker}"
    ahead = next(each.task for each in held if each.worker == own[0].worker)
    return f"handed to {own[0].worker}, behind {ahead}"


def _blocked_by(run: JobDocuments, name: str, failed: set[str]) -> tuple[TaskState, str, tuple[str, ...]]:
    blockers = tuple(task for task in _ancestors(run, name) if task in failed)
    if blockers:
        return TaskState.BLOCKED, f"it needs what is quarantined: {', '.join(blockers[:5])}", blockers
    needs = dict.fromkeys(need.task for need in run.graph.tasks[name].needs)
    missing = tuple(need for need in needs if need not in run.committed)
    if missing:
        return TaskState.WAITING, f"it waits for {', '.join(missing[:5])}", missing
    if name in run.held:
        again = run.command("approve")
        return TaskState.WAITING, f"it waits for approval of the first passes that it reads: `{again}`", ()
    if run.driver.driver is not Driver.RUNNING:
        return TaskState.READY, f"its inputs are there; `{run.command('resume')}` renders it", ()
    return TaskState.READY, "its inputs are there; it waits for a worker", ()


def _ancestors(run: JobDocuments, name: str) -> list[str]:
    """What the task needs, directly or not, in plan order."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        for need in run.graph.tasks[waiting.pop()].needs:
            if need.task not in reached:
                reached.add(need.task)
                waiting.append(need.task)
    return [task for task in run.graph.tasks if task in reached]


def _step(logged: Logged) -> HistoryEntry:
    return HistoryEntry(logged.at_s, _in_words(logged.event))


def _in_words(event: Event) -> str:
    """An event in words."""
    match event:
        case Notice():
            return event.message
        case TaskStarted():
            return f"attempt {event.attempt} on {event.worker}: {event.reason}"
        case TaskCommitted():
            return f"committed by {event.worker} after {event.seconds:.2f} s"
        case TaskFailed():
            why = said_of(event.task, event.message)
            where = f"attempt {event.attempt} on {event.worker} failed" if event.worker else "quarantined"
            return f"{where}, {event.kind}: {why} -> {event.then}"
        case TaskSuperseded():
            return f"attempt {event.attempt} on {event.worker} ended when another one's result was here"
        case TaskVoided():
            return f"voided: {event.reason}"
        case WorkerGone():
            return f"{event.worker} is gone, and this with it: {event.reason}"
    return event.name.replace("_", " ")

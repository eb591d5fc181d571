"""From the event log to bars: what each worker did when, and why it waited in between."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.events import (
    GangRank,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    TaskVoided,
    WorkerGone,
    WorkerReady,
)
from farm.state.attempts import Held, Holdings
from farm.state.event_log import Logged
from farm.state.progress import split_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GAP_S = 0.25
"""Waits shorter than this are hand-over, not waiting."""

NOTHING_LEFT = "no task was ready for it before the last one ended"

REST_S = 5.0
"""The nights between two runs of a job are drawn this long."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt of one task on one worker; times are seconds since the epoch. One that is `running` stops
    where the chart does."""

    task: str
    stage: str
    worker: str
    start_s: float
    stop_s: float
    ok: bool
    reason: str
    running: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A worker with nothing to do, until `task` came for `reason`; without a task to the chart's end."""

    worker: str
    start_s: float
    stop_s: float
    task: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failed attempt or a lost worker, in the words of the log."""

    at_s: float
    task: str
    worker: str
    kind: str
    message: str
    then: str


@dataclass
class Timeline:
    """All runs of a job, oldest first, on one clock that stands still while nobody renders.

    `resumed` are the moments when another run went on; `devices` gives each worker's, such as `cuda:0`,
    `gangs` the ranks of those that have several.
    """

    bars: list[Bar] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stage_tasks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    gpu_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    workers: list[str] = field(default_factory=list)
    devices: dict[str, str] = field(default_factory=dict)
    gangs: dict[str, tuple[GangRank, ...]] = field(default_factory=dict)
    resumed: list[float] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        """First start and last stop, epoch seconds."""
        if not self.bars:
            return 0.0, 0.0
        return min(bar.start_s for bar in self.bars), max(bar.stop_s for bar in self.bars)

    def busy_share(self, worker: str) -> float:
        """Share of the whole span that the worker was at work."""
        start, stop = self.span
        busy_s = sum(bar.stop_s - bar.start_s for bar in self.bars if bar.worker == worker)
        return busy_s / max(stop - start, 1e-3)


def read_timeline(log: Iterable[Logged], now_s: float | None = None) -> Timeline:
    """The timeline of stored events (`farm.state.event_log`). With `now_s` (epoch seconds) what workers hold
    is drawn up to then."""
    reader = _Reader()
    for logged in log:
        reader.take(logged)
    if now_s is not None:
        reader.draw_running(now_s)
    reader.close()
    return reader.timeline


def explain_waits(timeline: Timeline, needs: Callable[[str], Iterable[str]]) -> None:
    """Says of each wait what it was for: the last of the task's needs to be finished, where it came late."""
    ended = {bar.task: bar for bar in timeline.bars if bar.ok and not bar.running}
    for at, wait in enumerate(timeline.waits):
        if not wait.task:
            continue
        before = [ended[need] for need in needs(wait.task) if need in ended]
        last = max(before, key=lambda bar: bar.stop_s, default=None)
        if last is not None and last.stop_s > wait.start_s:
            after_s = last.stop_s - wait.start_s
            reason = f"it needs {last.task}, which {last.worker} finished {after_s:.1f} s into the wait"
            timeline.waits[at] = replace(wait, reason=reason)


class _Reader:
    def __init__(self) -> None:
        self.timeline = Timeline()
        self.holdings, self.run = Holdings(), ""
        self.idle_since: dict[str, float] = {}
        self.last_s: float | None = None
        self.skipped_s = 0.0

    def take(self, logged: Logged) -> None:
        if logged.run != self.run:
            self.holdings, self.run = Holdings(), logged.run
        event = logged.event
        if isinstance(event, JobPlanned):
            self._begin_run(logged.at_s)
        if isinstance(event, TaskStarted | TaskCommitted | TaskFailed | TaskSuperseded | WorkerGone):
            self.last_s = logged.at_s
        self._read(Logged(logged.at_s - self.skipped_s, event))

    def close(self) -> None:
        """A worker that is idle at the end has been idle since its last task."""
        stop_s = self.timeline.span[1]
        for worker in self.timeline.workers:
            since_s = self.idle_since.get(worker)
            if since_s is not None and not self.holdings.held(worker) and stop_s - since_s >= GAP_S:
                self.timeline.waits.append(Wait(worker, since_s, stop_s, "", NOTHING_LEFT))

    def draw_running(self, now_s: float) -> None:
        """What runs at `now_s` has not ended yet."""
        stop_s = now_s - self.skipped_s
        for held in self.holdings.all_held():
            if held.began_s is not None:
                self._wait(held, held.began_s)
                self._draw(held, held.began_s, stop_s, ok=True)
                self.timeline.bars[-1] = replace(self.timeline.bars[-1], running=True)

    def _begin_run(self, at_s: float) -> None:
        """What an earlier run left unfinished is gone, and so is the time since its last task, or since it
        began without one."""
        if self.timeline.bars and self.last_s is not None:
            self.idle_since.clear()
            self.skipped_s += max(0.0, at_s - self.last_s - REST_S)
            self.timeline.resumed.append(at_s - self.skipped_s)
            self.last_s = at_s

    def _read(self, logged: Logged) -> None:
        event, now_s = logged.event, logged.at_s
        ended = self.holdings.apply(event, now_s).ended
        match event:
            case WorkerReady():
                self.idle_since[event.worker] = now_s
                self.timeline.devices[event.worker] = event.device
                if event.ranks:
                    self.timeline.gangs[event.worker] = event.ranks
            case TaskCommitted():
                self._stop(event, ended, now_s)
                self._count(event)
            case TaskFailed():
                self._stop(event, ended, now_s)
                self._trouble(now_s, event.task, event.worker, event.kind, event.message, event.then)
            case TaskSuperseded():
                self._stop(event, ended, now_s)
            case TaskVoided():
                self._trouble(now_s, event.task, "", "retry", event.reason, "rendered again")
            case WorkerGone():
                self._gone(event, ended, now_s)

    def _stop(
        self, event: TaskCommitted | TaskFailed | TaskSuperseded, ended: tuple[Held, ...], now_s: float
    ) -> None:
        """Draws the attempt; one whose start the log does not have is drawn as a moment."""
        unknown = Held(event.task, event.worker, event.attempt, "", now_s, now_s)
        held = next(iter(ended), unknown)
        start_s = now_s if held.began_s is None else held.began_s
        self._wait(held, start_s)
        self._draw(held, start_s, now_s, ok=isinstance(event, TaskCommitted))
        self.idle_since[event.worker] = now_s

    def _draw(self, held: Held, start_s: float, stop_s: float, ok: bool) -> None:
        if held.worker not in self.timeline.workers:
            self.timeline.workers.append(held.worker)
        stage = split_task(held.task)[2]
        self.timeline.bars.append(Bar(held.task, stage, held.worker, start_s, stop_s, ok, held.reason))

    def _count(self, event: TaskCommitted) -> None:
        stage = split_task(event.task)[2]
        self.timeline.stage_seconds[stage] += event.seconds
        if self.timeline.devices.get(event.worker, "").startswith("cuda"):
            gpus = len(self.timeline.gangs.get(event.worker, "1"))
            self.timeline.gpu_seconds[stage] += gpus * event.seconds
        self.timeline.stage_tasks[stage] += 1

    def _wait(self, held: Held, start_s: float) -> None:
        since_s = self.idle_since.get(held.worker)
        if since_s is not None and start_s - since_s >= GAP_S:
            self.timeline.waits.append(Wait(held.worker, since_s, start_s, held.task, held.reason))

    def _gone(self, event: WorkerGone, ended: tuple[Held, ...], now_s: float) -> None:
        self.idle_since.pop(event.worker, None)
        for held in ended:
            self._draw(held, now_s if held.began_s is None else held.began_s, now_s, ok=False)
        lost = ", ".join(held.task for held in ended)
        self._trouble(now_s, lost, event.worker, "worker gone", event.reason, "requeued")

    def _trouble(self, at_s: float, task: str, worker: str, kind: str, message: str, then: str) -> None:
        self.timeline.troubles.append(Trouble(at_s, task, worker, kind, message, then))

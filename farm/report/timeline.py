"""From the event log to bars: what each worker did when, and why it waited in between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from farm.events import TaskVoided
from farm.progress import split_task

GAP_S = 0.25
"""Waits shorter than this are hand-over, not waiting."""

NOTHING_LEFT = "no task was ready for it before the last one ended"

REST_S = 5.0
"""The nights between two runs of a job are drawn this long."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt of one task on one worker; times are seconds since the epoch."""

    task: str
    stage: str
    worker: str
    start_s: float
    stop_s: float
    ok: bool
    reason: str


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

    `resumed` are the moments when another run went on; `devices` gives each worker's, such as `cuda:0`.
    """

    bars: list[Bar] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    stage_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stage_tasks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    gpu_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    workers: list[str] = field(default_factory=list)
    devices: dict[str, str] = field(default_factory=dict)
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


def read_timeline(records: Iterable[Mapping[str, Any]]) -> Timeline:
    """The timeline of stored event records (`Store.events`)."""
    reader = _Reader()
    for record in records:
        reader.take(record)
    reader.close()
    return reader.timeline


def explain_waits(timeline: Timeline, needs: Callable[[str], Iterable[str]]) -> None:
    """Says of each wait what it was for: the last of the task's needs to be finished, where it came late."""
    ended = {bar.task: bar for bar in timeline.bars if bar.ok}
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
        self.running: dict[tuple[str, str], tuple[float, str]] = {}
        self.idle_since: dict[str, float] = {}
        self.last_s: float | None = None
        self.skipped_s = 0.0

    def take(self, record: Mapping[str, Any]) -> None:
        if record.get("event") == "job_planned":
            self._begin_run(record["at_s"])
        if "task" in record and record.get("event") != TaskVoided.name:
            self.last_s = record["at_s"]
        self._read({**record, "at_s": record["at_s"] - self.skipped_s})

    def close(self) -> None:
        """Whoever is idle at the end has been so since its last task."""
        stop_s = self.timeline.span[1]
        busy = {worker for worker, _ in self.running}
        for worker in self.timeline.workers:
            since_s = self.idle_since.get(worker)
            if since_s is not None and worker not in busy and stop_s - since_s >= GAP_S:
                self.timeline.waits.append(Wait(worker, since_s, stop_s, "", NOTHING_LEFT))

    def _begin_run(self, at_s: float) -> None:
        """What an earlier run left unfinished is gone, and so is the time since its last task."""
        self.running.clear()
        if self.timeline.bars and self.last_s is not None:
            self.idle_since.clear()
            self.skipped_s += max(0.0, at_s - self.last_s - REST_S)
            self.timeline.resumed.append(at_s - self.skipped_s)

    def _read(self, record: Mapping[str, Any]) -> None:
        match record.get("event"):
            case "worker_ready":
                self.idle_since[record["worker"]] = record["at_s"]
                self.timeline.devices[record["worker"]] = record["device"]
            case "task_started":
                self._start(record)
            case "task_committed":
                self._stop(record, ok=True)
            case "task_failed":
                self._stop(record, ok=False)
                self._trouble(record, record["task"], record["kind"], record["message"], record["then"])
            case "task_superseded":
                self._stop(record, ok=False)
            case "task_voided":
                self._trouble(record, record["task"], "retry", record["reason"], "rendered again")
            case "worker_gone":
                self._gone(record)

    def _start(self, record: Mapping[str, Any]) -> None:
        self.running[record["worker"], record["task"]] = (record["at_s"], record["reason"])

    def _stop(self, record: Mapping[str, Any], ok: bool) -> None:
        worker, task, now = record["worker"], record["task"], record["at_s"]
        handed, reason = self.running.pop((worker, task), (now, ""))
        stage = split_task(task)[2]
        # A queued task is handed over before its turn: it began when the worker became free.
        start = max(handed, self.idle_since.get(worker, handed))
        self._wait(worker, start, task, reason)
        if worker not in self.timeline.workers:
            self.timeline.workers.append(worker)
        self.timeline.bars.append(Bar(task, stage, worker, start, now, ok, reason))
        self.idle_since[worker] = now
        if ok:
            self.timeline.stage_seconds[stage] += record["seconds"]
            if self.timeline.devices.get(worker, "").startswith("cuda"):
                self.timeline.gpu_seconds[stage] += record["seconds"]
            self.timeline.stage_tasks[stage] += 1

    def _wait(self, worker: str, start_s: float, task: str, reason: str) -> None:
        since = self.idle_since.get(worker)
        if since is not None and start_s - since >= GAP_S:
            self.timeline.waits.append(Wait(worker, since, start_s, task, reason))

    def _gone(self, record: Mapping[str, Any]) -> None:
        self.idle_since.pop(record["worker"], None)
        for worker, task in [key for key in self.running if key[0] == record["worker"]]:
            handed, reason = self.running.pop((worker, task))
            stage = split_task(task)[2]
            self.timeline.bars.append(Bar(task, stage, worker, handed, record["at_s"], False, reason))
        self._trouble(record, record.get("task") or "", "worker gone", record["reason"], "requeued")

    def _trouble(self, record: Mapping[str, Any], task: str, kind: str, message: str, then: str) -> None:
        worker = record.get("worker", "")
        self.timeline.troubles.append(Trouble(record["at_s"], task, worker, kind, message, then))

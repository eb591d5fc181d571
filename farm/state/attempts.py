"""Which worker holds which attempts: one reducer over a job's events, for all that show or count them.

A worker runs the oldest attempt that it holds; the others are queued behind it. An attempt ends with the
event that says so of exactly this attempt on this worker, or with its worker. What becomes of the task beside
that, another attempt that runs or a result that counts already, ends nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from farm.events import (
    Event,
    GangRank,
    JobFinished,
    JobPlanned,
    LostAttempt,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    TaskSuperseded,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
    WorkerSuspended,
)


class Activity(StrEnum):
    """What a worker does."""

    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that a worker has, handed over at `handed_s`; `began_s` is None while it is queued."""

    task: str
    worker: str
    attempt: int
    reason: str
    handed_s: float
    began_s: float | None


@dataclass(slots=True)
class HeldBy:
    """One worker process, and what it holds, the running attempt first."""

    stages: tuple[str, ...] = ()
    device: str = ""
    ranks: tuple[GangRank, ...] = ()
    resting: Activity = Activity.IDLE
    held: dict[tuple[str, int], Held] = field(default_factory=dict)

    @property
    def activity(self) -> Activity:
        """What it does now."""
        return Activity.BUSY if self.held else self.resting


@dataclass(frozen=True, slots=True)
class Change:
    """What one event began and ended."""

    began: Held | None = None
    ended: tuple[Held, ...] = ()


NOTHING = Change()


class Holdings:
    """The workers of one driver run, by id, from its events alone. Those that are gone are left out."""

    def __init__(self) -> None:
        self.workers: dict[str, HeldBy] = {}

    def apply(self, event: Event, at_s: float) -> Change:
        """Takes the next event, seen at `at_s` seconds of any clock that does not go back."""
        match event:
            case WorkerPlaced():
                before = self._drop(event.worker)
                self.workers[event.worker] = HeldBy(event.stages, resting=Activity.LOADING)
                return Change(ended=before)
            case WorkerReady():
                worker = self._worker(event.worker)
                worker.device, worker.resting = event.device, Activity.IDLE
                worker.ranks = event.ranks or worker.ranks
            case WorkerSuspended() if event.worker in self.workers:
                self.workers[event.worker].resting = Activity.SUSPENDED
            case WorkerGone():
                return Change(ended=self._drop(event.worker))
            case TaskStarted():
                return Change(began=self._start(event, at_s))
            case TaskCommitted() | TaskFailed() | TaskSuperseded():
                return Change(ended=self._end(event.worker, event.task, event.attempt, at_s))
            case JobPlanned():
                return Change(ended=self._empty())
            case JobFinished():
                ended = self._empty()
                self.workers.clear()
                return Change(ended=ended)
        return NOTHING

    def held(self, worker: str) -> tuple[Held, ...]:
        """What the worker holds, the running attempt first."""
        return tuple(self.workers[worker].held.values()) if worker in self.workers else ()

    def all_held(self) -> Iterator[Held]:
        """What is held, worker by worker."""
        return (held for worker in self.workers for held in self.held(worker))

    def holding(self, task: str) -> tuple[Held, ...]:
        """The attempts of the task that workers hold."""
        return tuple(held for held in self.all_held() if held.task == task)

    def lost_with(self, worker: str) -> tuple[LostAttempt, ...]:
        """What would end with the worker, the running attempt first."""
        return tuple(LostAttempt(held.task, held.attempt) for held in self.held(worker))

    def _worker(self, name: str) -> HeldBy:
        return self.workers.setdefault(name, HeldBy())

    def _start(self, event: TaskStarted, at_s: float) -> Held:
        worker = self._worker(event.worker)
        worker.resting = Activity.IDLE
        began_s = None if worker.held else at_s
        held = Held(event.task, event.worker, event.attempt, event.reason, at_s, began_s)
        worker.held[event.task, event.attempt] = held
        return held

    def _end(self, name: str, task: str, attempt: int, at_s: float) -> tuple[Held, ...]:
        held = self.workers[name].held if name in self.workers else {}
        ended = held.pop((task, attempt), None)
        if ended is None:
            return ()
        for key, first in list(held.items())[:1]:
            held[key] = first if first.began_s is not None else replace(first, began_s=at_s)
        return (ended,)

    def _drop(self, name: str) -> tuple[Held, ...]:
        ended = self.held(name)
        self.workers.pop(name, None)
        return ended

    def _empty(self) -> tuple[Held, ...]:
        ended = tuple(self.all_held())
        for worker in self.workers.values():
            worker.held.clear()
        return ended

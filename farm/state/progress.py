"""What a job has done so far and how long the rest will take: pure bookkeeping over events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from farm.events import (
    SHARED,
    Event,
    FilmDelivered,
    JobPlanned,
    TaskCommitted,
    TaskFailed,
)
from farm.state.attempts import Holdings

STAGES = ("encode", "sample", "upscale", "decode", "segment")


def split_task(task: str) -> tuple[str, str, str]:
    """`(video, chunk, stage)` of a task id; shared encodes give `(SHARED, what, "encode")`."""
    head, _, tail = task.partition("/")
    if head == SHARED:
        return SHARED, tail, "encode"
    chunk, _, stage = tail.rpartition("/")
    return head, chunk, stage


def said_of(task: str, message: str) -> str:
    """A failure's message without the task that it begins with, for places that name the task themselves."""
    return message.removeprefix(f"{task}: ")


@dataclass
class Progress:
    """Counters of one running job. `apply` takes each event once, with the time in seconds it was seen."""

    totals: dict[str, dict[str, int]] = field(default_factory=dict)
    done: dict[str, dict[str, int]] = field(default_factory=dict)
    holdings: Holdings = field(default_factory=Holdings)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    measured: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    frames: int = 0
    failed: int = 0
    films: list[str] = field(default_factory=list)
    started_s: float | None = None

    def apply(self, event: Event, now_s: float) -> None:
        """Counts one event."""
        self.holdings.apply(event, now_s)
        match event:
            case JobPlanned():
                self._plan(event, now_s)
            case TaskCommitted():
                self._commit(event)
            case TaskFailed():
                self.failed += 1
            case FilmDelivered(preview=False):
                self.films.append(event.path)

    def _plan(self, event: JobPlanned, now_s: float) -> None:
        self.totals, self.frames, self.started_s = event.totals, event.frames, now_s
        self.done = {video: dict(stages) for video, stages in event.done.items()}

    def _commit(self, event: TaskCommitted) -> None:
        video, _, stage = split_task(event.task)
        stages = self.done.setdefault(video, {})
        stages[stage] = stages.get(stage, 0) + 1
        self.seconds[stage] += event.seconds
        self.measured[stage] += 1

    def remaining(self, stage: str) -> int:
        """Stage tasks of this stage that are not committed yet."""
        return sum(
            stages.get(stage, 0) - self.done.get(video, {}).get(stage, 0)
            for video, stages in self.totals.items()
        )

    def counts(self, video: str, stage: str) -> tuple[int, int]:
        """`(committed, total)` for one video and stage."""
        return self.done.get(video, {}).get(stage, 0), self.totals.get(video, {}).get(stage, 0)

    def total(self) -> tuple[int, int]:
        """`(committed, total)` over the job."""
        return (
            sum(sum(stages.values()) for stages in self.done.values()),
            sum(sum(stages.values()) for stages in self.totals.values()),
        )

    def eta_s(self) -> float | None:
        """Seconds until done at measured speed; None while a remaining stage has not been measured.

        The larger of the busiest stage's remaining work over the workers that host it, and all remaining
        work over all workers: the same bound the planner uses, on measured means.
        """
        left = {stage: self.remaining(stage) for stage in STAGES}
        if any(count > 0 and not self.measured[stage] for stage, count in left.items()):
            return None
        work = {stage: n * self.seconds[stage] / self.measured[stage] for stage, n in left.items() if n > 0}
        hosts = {stage: self._hosts(stage) for stage in work}
        workers = max(1, len(self.holdings.workers))
        return max(
            [sum(work.values()) / workers, *(work[stage] / hosts[stage] for stage in work)], default=0.0
        )

    def _hosts(self, stage: str) -> int:
        return max(1, sum(stage in worker.stages for worker in self.holdings.workers.values()))

    def frames_done(self) -> int:
        """Film frames whose segments were committed since the start, assuming equal shares."""
        done = self.measured["segment"]
        total = sum(stages.get("segment", 0) for stages in self.totals.values())
        return self.frames * done // total if total else 0

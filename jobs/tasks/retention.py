"""What a run directory keeps, what it evicts, and how large it grows. Pure.

Latents and segments are kept; decoded frames, by far the largest, and the canvases of temporal rounds only
until every task that reads them is committed. `run.keep: all` keeps them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from jobs.tasks.task import Stage, StageTask, TaskGraph


def evictable(graph: TaskGraph, committed: Collection[str]) -> tuple[str, ...]:
    """Committed tasks whose frames, or canvas, nothing will read again: all their dependents are committed
    too."""
    return tuple(
        task.id
        for task in graph.tasks.values()
        if task.transient
        and task.id in committed
        and all(reader in committed for reader in graph.dependents[task.id])
    )


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes of a run directory, from the plan's size estimates.

    `kept_bytes` stay when the job is done, `frames_bytes` is the most that decoded frames and canvases take
    at one time, `films_bytes` is what the films take, in the output directory.
    """

    kept_bytes: int
    frames_bytes: int
    films_bytes: int

    @property
    def peak_bytes(self) -> int:
        """The most that all of it takes at one time."""
        return self.kept_bytes + self.frames_bytes + self.films_bytes


def estimate_disk(graph: TaskGraph, keep: str = "latents", videos_at_once: int | None = None) -> DiskEstimate:
    """How much disk the job needs, with `videos_at_once` videos in work (None: all of them).

    Each video's frames are counted as they come and go in plan order; the largest videos are taken together.
    """
    kept = sum(task.bytes_estimate for task in graph.tasks.values() if not task.transient)
    films = sum(task.bytes_estimate for task in graph.tasks.values() if task.stage is Stage.SEGMENT)
    if keep == "all":
        every = sum(task.bytes_estimate for task in graph.tasks.values() if task.transient)
        return DiskEstimate(kept, every, films)
    peaks = sorted(_frame_peaks(graph), reverse=True)
    return DiskEstimate(kept, sum(peaks[:videos_at_once]), films)


def _frame_peaks(graph: TaskGraph) -> Iterator[int]:
    """Per video, the most bytes of decoded frames and canvases that wait for a reader when chunks finish in
    order."""
    by_video: dict[str, list[StageTask]] = {}
    for task in graph.tasks.values():
        by_video.setdefault(task.video, []).append(task)
    for tasks in by_video.values():
        yield _peak(graph, tasks)


def _peak(graph: TaskGraph, tasks: list[StageTask]) -> int:
    waiting: dict[str, set[str]] = {}
    live = peak = 0
    for task in tasks:
        if task.transient:
            waiting[task.id] = set(graph.dependents[task.id])
            live += task.bytes_estimate
            peak = max(peak, live)
        for need in {need.task for need in task.needs}.intersection(waiting):
            waiting[need].discard(task.id)
            if not waiting[need]:
                live -= graph.tasks[need].bytes_estimate
    return peak

"""What Prometheus may scrape of a running job, through the metrics endpoint that Ray has on every node."""

from __future__ import annotations

from typing import Any

SECONDS = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0]
"""Upper bounds of the duration buckets."""


class RayInstruments:
    """The job's instruments; open them in a connected process. Every series has the label `job`."""

    def __init__(self, job: str) -> None:
        from ray.util import metrics

        self._job = job
        self._tasks = metrics.Gauge(
            "farm_tasks", "Stage tasks by stage and state.", tag_keys=("job", "stage", "state")
        )
        self._seconds = metrics.Histogram(
            "farm_task_seconds",
            "Seconds of the stage step of committed tasks.",
            boundaries=SECONDS,
            tag_keys=("job", "stage"),
        )
        self._bytes = metrics.Counter(
            "farm_bytes_written", "Bytes of committed results.", tag_keys=("job", "stage")
        )
        self._failures = metrics.Counter(
            "farm_task_failures", "Failed attempts.", tag_keys=("job", "stage", "kind")
        )
        self._workers = metrics.Gauge("farm_workers", "Workers by state.", tag_keys=("job", "state"))
        self._busy = metrics.Gauge(
            "farm_worker_busy", "1 while the worker has a task.", tag_keys=("job", "worker")
        )
        self._busy_s = metrics.Counter(
            "farm_worker_busy_seconds", "Seconds of work.", tag_keys=("job", "worker", "stage")
        )
        self._frames = metrics.Counter("farm_frames", "Film frames encoded into segments.", tag_keys=("job",))

    def tasks(self, stage: str, state: str, count: int) -> None:
        """How many tasks of a stage are in a state now."""
        self._set(self._tasks, count, stage=stage, state=state)

    def committed(self, worker: str, stage: str, seconds: float, size_bytes: int) -> None:
        """One more result is in the store."""
        self._seconds.observe(seconds, tags={"job": self._job, "stage": stage})
        self._add(self._bytes, size_bytes, stage=stage)
        self._add(self._busy_s, seconds, worker=worker, stage=stage)

    def failed(self, stage: str, kind: str) -> None:
        """One attempt failed."""
        self._add(self._failures, 1, stage=stage, kind=kind)

    def workers(self, state: str, count: int) -> None:
        """How many workers are loading, ready or busy now."""
        self._set(self._workers, count, state=state)

    def busy(self, worker: str, has_task: bool) -> None:
        """Whether a worker has something to do."""
        self._set(self._busy, int(has_task), worker=worker)

    def frames(self, count: int) -> None:
        """More frames of a film are encoded."""
        self._add(self._frames, count)

    def _set(self, gauge: Any, value: float, **labels: str) -> None:
        gauge.set(value, tags={"job": self._job, **labels})

    def _add(self, counter: Any, value: float, **labels: str) -> None:
        """Ray refuses to add nothing: an empty segment has no bytes."""
        if value > 0:
            counter.inc(value, tags={"job": self._job, **labels})

"""Stage times that earlier renders of a job measured, to correct what is expected of the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jobs.graph import Stage, StageTask, TaskGraph

Duration = Callable[[StageTask], float]


def measured_ratios(
    records: Iterable[Mapping[str, Any]], graph: TaskGraph, expected_s: Duration
) -> dict[Stage, float]:
    """By stage, measured over expected seconds of the tasks that the event records say were committed."""
    measured: dict[Stage, float] = defaultdict(float)
    expected: dict[Stage, float] = defaultdict(float)
    for record in records:
        task = graph.tasks.get(record.get("task", ""))
        if record.get("event") == "task_committed" and task is not None:
            measured[task.stage] += float(record["seconds"])
            expected[task.stage] += expected_s(task)
    return {stage: measured[stage] / expected[stage] for stage in measured if expected[stage] > 0}


def corrected(expected_s: Duration, ratios: Mapping[Stage, float]) -> Duration:
    """The estimate, scaled by what was measured; a stage never measured keeps its own."""
    return lambda task: expected_s(task) * ratios.get(task.stage, 1.0)

"""Tasks tied to a graph: each after its needs, and the edges turned round."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.tasks.task import StageTask, TaskGraph


def needs_first(tasks: dict[str, StageTask]) -> dict[str, StageTask]:
    """The tasks in plan order, but none before its needs: a lagging decode needs the next chunk's latents."""
    ordered: dict[str, StageTask] = {}

    def place(task: StageTask) -> None:
        for need in task.needs:
            if need.task not in ordered:
                place(tasks[need.task])
        ordered.setdefault(task.id, task)

    for task in tasks.values():
        place(task)
    return ordered


def link(tasks: Mapping[str, StageTask]) -> TaskGraph:
    """The graph of these tasks, each after its needs."""
    dependents: dict[str, list[str]] = {task: [] for task in tasks}
    for task in tasks.values():
        for name in dict.fromkeys(need.task for need in task.needs):
            dependents[name].append(task.id)
    return TaskGraph(tasks, {task: tuple(after) for task, after in dependents.items()})

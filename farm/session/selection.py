"""Which tasks a render still has to compute: pure set arithmetic over the graph and what the store holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from jobs.tasks.task import Stage, TaskGraph

ORDER = tuple(Stage)


def within(graph: TaskGraph, until: Stage | None) -> list[str]:
    """The tasks of stages up to and including `until`, in plan order; all of them for None."""
    last = ORDER.index(until) if until else len(ORDER)
    return [name for name, task in graph.tasks.items() if ORDER.index(task.stage) <= last]


def to_remake(graph: TaskGraph, lost: Collection[str], committed: Collection[str]) -> list[str]:
    """The lost tasks and whatever they need that is not there any more, in plan order; all are task ids."""
    wanted = set(lost)
    for name in reversed(list(graph.tasks)):
        if name in wanted:
            wanted.update(need.task for need in graph.tasks[name].needs if need.task not in committed)
    return [name for name in graph.tasks if name in wanted]


def to_compute(
    graph: TaskGraph,
    digests: Mapping[str, str],
    committed: Collection[str],
    evicted: Collection[str],
    until: Stage | None = None,
) -> list[str]:
    """Tasks to run, in plan order.

    Every task without a commit, except one whose artifact was evicted while nobody
    that still has to run reads it. `committed` and `evicted` hold digests.
    """
    missing = [name for name in within(graph, until) if digests[name] not in committed]
    wanted = {name for name in missing if digests[name] not in evicted}
    for name in reversed(missing):
        if name in wanted:
            wanted.update(
                need.task for need in graph.tasks[name].needs if digests[need.task] not in committed
            )
    return [name for name in graph.tasks if name in wanted]


def awaiting(graph: TaskGraph, digests: Mapping[str, str], seen: Collection[str]) -> frozenset[str]:
    """The second passes that read a first pass which nobody has approved, near or far, and what needs those;
    `seen` has the digests of what was approved."""
    unseen: set[str] = set()
    held: set[str] = set()
    for name, task in graph.tasks.items():
        needs = [need.task for need in task.needs]
        if (task.stage is Stage.SAMPLE and digests[name] not in seen) or not unseen.isdisjoint(needs):
            unseen.add(name)
        if (task.stage is Stage.UPSCALE and name in unseen) or not held.isdisjoint(needs):
            held.add(name)
    return frozenset(held)

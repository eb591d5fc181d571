"""Tasks with one digest have one result: the first is computed, and its duplicates take what it made.

Videos of a matrix share seeds, so all that comes before their first different prompt is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from jobs.tasks.linking import link

if TYPE_CHECKING:
    from jobs.tasks.task import StageTask, TaskGraph


@dataclass(frozen=True)
class Duplicates:
    """`first` names, for each task that is not the first of its digest, the one that is; `others` is that
    turned round. A task without a duplicate is in neither."""

    first: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def family(self, task: str) -> tuple[str, ...]:
        """The tasks that share this one's result, the first of them first."""
        first = self.first.get(task, task)
        return (first, *self.others.get(first, ()))

    def merged(self, graph: TaskGraph) -> TaskGraph:
        """The graph in which every need is the first of its duplicates: only those have to be computed."""
        if not self.first:
            return graph
        return link({name: self._relinked(task) for name, task in graph.tasks.items()})

    def without(self, tasks: list[str]) -> list[str]:
        """The first of each family, in the order given; of a merged graph no task needs another one."""
        return [task for task in tasks if task not in self.first] if self.first else tasks

    def _relinked(self, task: StageTask) -> StageTask:
        needs = tuple(replace(need, task=self.first.get(need.task, need.task)) for need in task.needs)
        return task if needs == task.needs else replace(task, needs=needs)


def find_duplicates(digests: Mapping[str, str]) -> Duplicates:
    """The duplicates among tasks by their digests, which are in plan order."""
    first = dict(_repeated(digests))
    others: dict[str, list[str]] = {}
    for task, leader in first.items():
        others.setdefault(leader, []).append(task)
    return Duplicates(first, {leader: tuple(tasks) for leader, tasks in others.items()})


def _repeated(digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for task, digest in digests.items():
        first = seen.setdefault(digest, task)
        if first != task:
            yield task, first

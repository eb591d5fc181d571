"""Ready tasks, in two orders at once: plan order, and longest path behind them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from farm.schedule_graph import STAGES, ScheduleGraph
from farm.scheduler.admission import Admission

NONE = -1
NUMBER_BITS = 32
_NUMBER = (1 << NUMBER_BITS) - 1
_MILLISECONDS = 1e3
_LONGEST = 1 << 62
OUT, FREE, GATED = range(3)


class Pile:
    """Two heaps over the same tasks. Members are marked in `where`; whatever else a heap holds is stale."""

    __slots__ = ("live", "longest_heap", "mark", "order_heap", "where")

    def __init__(self, where: bytearray, mark: int) -> None:
        self.where = where
        self.mark = mark
        self.live = 0
        self.order_heap: list[int] = []
        self.longest_heap: list[int] = []

    def add(self, task: int, key: int) -> None:
        self.where[task] = self.mark
        self.live += 1
        heapq.heappush(self.order_heap, task)
        heapq.heappush(self.longest_heap, key)
        if len(self.longest_heap) > 2 * self.live + 64:
            self._compact()

    def discard(self, task: int) -> None:
        if self.where[task] == self.mark:
            self.where[task] = OUT
            self.live -= 1

    def first(self) -> int:
        """The member that stands first in the plan, or NONE."""
        heap, where, mark = self.order_heap, self.where, self.mark
        while heap:
            if where[heap[0]] == mark:
                return heap[0]
            heapq.heappop(heap)
        return NONE

    def longest(self) -> int:
        """The member with the longest path behind it, or NONE."""
        heap, where, mark = self.longest_heap, self.where, self.mark
        while heap:
            task = heap[0] & _NUMBER
            if where[task] == mark:
                return task
            heapq.heappop(heap)
        return NONE

    def _compact(self) -> None:
        """Drops what is stale, so that a heap never outgrows its members for long."""
        tasks = {task for task in self.order_heap if self.where[task] == self.mark}
        self.order_heap = sorted(tasks)
        keys = {key for key in self.longest_heap if key & _NUMBER in tasks}
        self.longest_heap = sorted(keys)


class Queues:
    """Ready tasks by stage. Those of chunks that are not admitted yet wait behind the byte budget."""

    def __init__(self, graph: ScheduleGraph, admission: Admission) -> None:
        self.graph = graph
        self.admission = admission
        self.where = bytearray(len(graph))
        self.free = [Pile(self.where, FREE) for _ in STAGES]
        self.gated = [Pile(self.where, GATED) for _ in STAGES]

    def add(self, task: int) -> None:
        """A task became ready."""
        stage = self.graph.stage[task]
        pile = self.free[stage] if self.admission.is_open(task) else self.gated[stage]
        pile.add(task, self._key(task))

    def discard(self, task: int) -> None:
        """The task is assigned, or ready no longer."""
        stage = self.graph.stage[task]
        if self.where[task] != OUT:
            (self.free if self.where[task] == FREE else self.gated)[stage].discard(task)

    def ungate(self, tasks: Iterable[int]) -> None:
        """These tasks' chunks may be started whatever the budget says."""
        for task in tasks:
            if self.where[task] == GATED:
                self.discard(task)
                self.add(task)

    def first(self, stage: int) -> int:
        """The ready task of the stage that stands first in the plan and may start now, or NONE."""
        free, gated = self.free[stage].first(), self._fitting(self.gated[stage].first())
        return free if gated == NONE or NONE < free < gated else gated

    def longest(self, stage: int) -> int:
        """The ready task of the stage with the longest path behind it that may start now, or NONE."""
        free, gated = self.free[stage].longest(), self._fitting(self.gated[stage].longest())
        if free == NONE or gated == NONE:
            return max(free, gated)
        return free if self._key(free) <= self._key(gated) else gated

    def count(self, stage: int) -> int:
        """How many tasks of the stage are ready, whether or not the budget lets them start."""
        return self.free[stage].live + self.gated[stage].live

    def _fitting(self, task: int) -> int:
        return task if task == NONE or self.admission.fits(task) else NONE

    def _key(self, task: int) -> int:
        """Longest path first; among equals, to the millisecond, plan order."""
        return (_LONGEST - (int(self.graph.tail_s[task] * _MILLISECONDS) << NUMBER_BITS)) | task

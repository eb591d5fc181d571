"""Ready tasks, in two orders at once: batches of videos in plan order, and longest path behind them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

from farm.scheduler.graph import SAMPLE, STAGES, ScheduleGraph

if TYPE_CHECKING:
    from farm.scheduler.admission import Admission

NONE = -1
NUMBER_BITS = 32
_NUMBER = (1 << NUMBER_BITS) - 1
_MILLISECONDS = 1e3
_LONGEST = 1 << 62
_BATCH_BITS = 64
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

    def add(self, task: int, key: int, order: int) -> None:
        self.where[task] = self.mark
        self.live += 1
        heapq.heappush(self.order_heap, order)
        heapq.heappush(self.longest_heap, key)
        if len(self.longest_heap) > 2 * self.live + 64:
            self._compact()

    def discard(self, task: int) -> None:
        if self.where[task] == self.mark:
            self.where[task] = OUT
            self.live -= 1

    def first(self) -> int:
        """The member that comes first in plan order, as its order, or NONE."""
        return self._top(self.order_heap)

    def longest(self) -> int:
        """The key of the member with the longest path behind it, or NONE."""
        return self._top(self.longest_heap)

    def _top(self, heap: list[int]) -> int:
        where, mark = self.where, self.mark
        while heap:
            if where[heap[0] & _NUMBER] == mark:
                return heap[0]
            heapq.heappop(heap)
        return NONE

    def members(self) -> list[int]:
        """All members, in no order that matters."""
        return list({key & _NUMBER for key in self.longest_heap if self.where[key & _NUMBER] == self.mark})

    def _compact(self) -> None:
        """Drops what is stale, so that a heap never outgrows its members for long."""
        for heap in (self.order_heap, self.longest_heap):
            kept = {key for key in heap if self.where[key & _NUMBER] == self.mark}
            heap[:] = sorted(kept)


class Queues:
    """Ready tasks by stage. Those of chunks that are not admitted yet wait behind the byte budget.

    Videos are worked on in batches of `breadth`, as a chain alone keeps only one worker of a stage busy. Of a
    batch, what ends a film comes first, then the longest path.
    """

    def __init__(self, graph: ScheduleGraph, admission: Admission) -> None:
        self.graph = graph
        self.admission = admission
        self.breadth = 1
        self.where = bytearray(len(graph))
        self.free = [Pile(self.where, FREE) for _ in STAGES]
        self.gated = [Pile(self.where, GATED) for _ in STAGES]

    def widen(self, chains: int) -> None:
        """Note that this many chains can be worked on at the same time. Rare: batches only ever double."""
        if chains <= self.breadth:
            return
        while self.breadth < chains:
            self.breadth *= 2
        ready = [task for pile in (*self.free, *self.gated) for task in pile.members()]
        self.where[:] = bytes(len(self.where))
        self.free = [Pile(self.where, FREE) for _ in STAGES]
        self.gated = [Pile(self.where, GATED) for _ in STAGES]
        for task in ready:
            self.add(task)

    def add(self, task: int) -> None:
        """A task became ready."""
        stage, video = self.graph.stage[task], self.graph.slot_video[self.graph.slot[task]]
        pile = self.free[stage] if self.admission.is_open(task) else self.gated[stage]
        key = self._key(task)
        within = task if stage > SAMPLE and self.graph.ends_video(task) else key
        pile.add(task, key, video // self.breadth << _BATCH_BITS | within)

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
        """The ready task of the stage that may start now and comes first while time is to spare, or NONE."""
        return self._earlier(self.free[stage].first(), self.gated[stage].first())

    def longest(self, stage: int) -> int:
        """The ready task of the stage that may start now and has the longest path behind it, or NONE."""
        return self._earlier(self.free[stage].longest(), self.gated[stage].longest())

    def count(self, stage: int) -> int:
        """How many tasks of the stage are ready, whether or not the budget lets them start."""
        return self.free[stage].live + self.gated[stage].live

    def _earlier(self, free: int, gated: int) -> int:
        """The task of the lower key, of a gated one only if the budget has room for it."""
        if gated != NONE and (free == NONE or gated < free) and self.admission.fits(gated & _NUMBER):
            return gated & _NUMBER
        return free if free == NONE else free & _NUMBER

    def _key(self, task: int) -> int:
        """Longest path first; among equals, to the millisecond, plan order."""
        return (_LONGEST - (int(self.graph.tail_s[task] * _MILLISECONDS) << NUMBER_BITS)) | task

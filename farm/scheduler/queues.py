"""Ready tasks, in two orders at once: batches of videos in plan order, and longest path behind them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

from farm.scheduler.graph import SAMPLE, STAGES, ScheduleGraph

if TYPE_CHECKING:
    from farm.scheduler.admission import Admission

NONE = -1
ANY = -1
"""Whatever model a task runs on."""
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

    def add(self, key: int, order: int) -> None:
        """A task that is marked."""
        self.live += 1
        heapq.heappush(self.order_heap, order)
        heapq.heappush(self.longest_heap, key)
        if len(self.longest_heap) > 2 * self.live + 64:
            self._compact()

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

    def _compact(self) -> None:
        """Drops what is stale, so that a heap never outgrows its members for long."""
        for heap in (self.order_heap, self.longest_heap):
            kept = {key for key in heap if self.where[key & _NUMBER] == self.mark}
            heap[:] = sorted(kept)


class Piles:
    """The tasks that may start (`free`) and those that wait behind the byte budget (`gated`)."""

    __slots__ = ("free", "gated")

    def __init__(self, where: bytearray) -> None:
        self.free, self.gated = Pile(where, FREE), Pile(where, GATED)

    def of(self, mark: int) -> Pile:
        return self.free if mark == FREE else self.gated


class Queues:
    """Ready tasks by stage; where workers exchange models (`by_model`), also by stage and model. Those of
    chunks that are not admitted yet wait behind the byte budget.

    Videos are worked on in batches of `breadth`, as a chain alone keeps only one worker of a stage busy. Of a
    batch, what ends a film comes first, then the longest path. Prompts are in a pile of their own as well:
    none waits behind the budget.
    """

    def __init__(self, graph: ScheduleGraph, admission: Admission, by_model: bool = False) -> None:
        self.graph = graph
        self.admission = admission
        self.by_model = by_model
        self.breadth = 1
        self.where = bytearray(len(graph))
        self.stages = [Piles(self.where) for _ in STAGES]
        self.prompts = Pile(self.where, FREE)
        self.models: dict[tuple[int, int], Piles] = {}
        self.waiting: dict[int, int] = {}
        """How many tasks are ready by model, those longest without a pause first."""

    def widen(self, chains: int) -> None:
        """Note that this many chains can be worked on at the same time. Rare: batches only ever double."""
        if chains <= self.breadth:
            return
        while self.breadth < chains:
            self.breadth *= 2
        ready = [task for task, mark in enumerate(self.where) if mark != OUT]
        self.where[:] = bytes(len(self.where))
        self.stages = [Piles(self.where) for _ in STAGES]
        self.prompts = Pile(self.where, FREE)
        self.models.clear()
        self.waiting.clear()
        for task in ready:
            self.add(task)

    def add(self, task: int) -> None:
        """A task became ready."""
        stage, video = self.graph.stage[task], self.graph.slot_video[self.graph.slot[task]]
        mark = self.where[task] = FREE if self.admission.is_open(task) else GATED
        key = self._key(task)
        within = task if stage > SAMPLE and self.graph.ends_video(task) else key
        order = video // self.breadth << _BATCH_BITS | within
        self.stages[stage].of(mark).add(key, order)
        if self.graph.prompt[task]:
            self.prompts.add(key, order)
        if self.by_model:
            model = self.graph.resident[task]
            self._piles(stage, model).of(mark).add(key, order)
            self.waiting[model] = self.waiting.get(model, 0) + 1

    def discard(self, task: int) -> None:
        """The task is assigned, or ready no longer."""
        mark, stage = self.where[task], self.graph.stage[task]
        if mark == OUT:
            return
        self.where[task] = OUT
        self.stages[stage].of(mark).live -= 1
        self.prompts.live -= self.graph.prompt[task]
        if self.by_model:
            model = self.graph.resident[task]
            self._piles(stage, model).of(mark).live -= 1
            self.waiting[model] -= 1
            if not self.waiting[model]:
                del self.waiting[model]

    def ungate(self, tasks: Iterable[int]) -> None:
        """These tasks' chunks may be started whatever the budget says."""
        for task in tasks:
            if self.where[task] == GATED:
                self.discard(task)
                self.add(task)

    def first(self, stage: int, model: int = ANY) -> int:
        """The ready task of the stage (and model) that may start now and comes first while time is to spare,
        or NONE."""
        piles = self.stages[stage] if model == ANY else self._piles(stage, model)
        return self._earlier(piles.free.first(), piles.gated.first())

    def longest(self, stage: int, model: int = ANY) -> int:
        """The ready task of the stage (and model) that may start now and has the longest path behind it, or
        NONE."""
        piles = self.stages[stage] if model == ANY else self._piles(stage, model)
        return self._earlier(piles.free.longest(), piles.gated.longest())

    def prompt(self) -> int:
        """The prompt that comes first in plan order, or NONE."""
        first = self.prompts.first()
        return first if first == NONE else first & _NUMBER

    def count(self, stage: int) -> int:
        """How many tasks of the stage are ready, whether or not the budget lets them start."""
        return self.stages[stage].free.live + self.stages[stage].gated.live

    def _piles(self, stage: int, model: int) -> Piles:
        found = self.models.get((stage, model))
        if found is None:
            found = self.models[stage, model] = Piles(self.where)
        return found

    def _earlier(self, free: int, gated: int) -> int:
        """The task of the lower key, of a gated one only if the budget has room for it."""
        if gated != NONE and (free == NONE or gated < free) and self.admission.fits(gated & _NUMBER):
            return gated & _NUMBER
        return free if free == NONE else free & _NUMBER

    def _key(self, task: int) -> int:
        """Longest path first; among equals, to the millisecond, plan order."""
        return (_LONGEST - (int(self.graph.tail_s[task] * _MILLISECONDS) << NUMBER_BITS)) | task

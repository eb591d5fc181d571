"""Payloads that wait in the nodes' object stores for their readers.

A store that is full makes room on disk, object by object, and everything on its node then waits for that.
The job's own store has every payload anyway, so only half of each node's memory is ever used.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Item:
    ref: Any
    node: str
    size_bytes: int


class ObjectCache:
    """References by task. `capacities` gives the bytes of every node's object store; it is asked again when a
    node is not known yet."""

    def __init__(self, capacities: Callable[[], Mapping[str, float]]) -> None:
        self._capacities = capacities
        self._known: dict[str, float] = {}
        self._used: Counter[str] = Counter()
        self._items: dict[str, _Item] = {}

    def room(self, node: str, size_bytes: int) -> bool:
        """Whether a payload of this size fits into the cache of this node."""
        if node not in self._known:
            self._known = {node: math.inf, **self._capacities()}
        return self._used[node] + size_bytes <= SHARE * self._known[node]

    def put(self, task: str, ref: Any, node: str, size_bytes: int) -> None:
        """Keep a reference to the task's payload."""
        self.drop(task)
        self._items[task] = _Item(ref, node, size_bytes)
        self._used[node] += size_bytes

    def refs(self, tasks: tuple[str, ...]) -> dict[str, list[Any]]:
        """Those that are here, each in a list: so Ray neither waits for them nor fails for a lost one."""
        return {task: [self._items[task].ref] for task in tasks if task in self._items}

    def drop(self, task: str) -> None:
        """Forget a payload; the object store frees it when no call uses it any more."""
        item = self._items.pop(task, None)
        if item is not None:
            self._used[item.node] -= item.size_bytes

    def tasks(self) -> frozenset[str]:
        """Whose payloads are here."""
        return frozenset(self._items)

    def clear(self) -> None:
        """Forget all of them."""
        for task in self.tasks():
            self.drop(task)

"""Time that passes only while somebody waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

BEGIN_S = 1000.0
"""Not 0: that stands for never in many places."""
LONGEST_S = 7 * 86_400.0


class VirtualClock:
    """The time, and what is due. Nothing happens but in `pass_time`."""

    def __init__(self) -> None:
        self.now_s = BEGIN_S
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Have something happen; of what is due at once, the first that was asked for comes first."""
        heapq.heappush(self._due, (self.now_s + delay_s, next(self._order), act))

    def pass_time(self, longest_s: float, enough: Callable[[], bool]) -> None:
        """Let time pass until it is enough. Raises RuntimeError when somebody waits for a week."""
        end_s = self.now_s + longest_s
        while not enough() and self._due and self._due[0][0] <= end_s:
            self.now_s, _, act = heapq.heappop(self._due)
            act()
        if not enough():
            self.now_s = end_s
        if self.now_s > BEGIN_S + LONGEST_S:
            raise RuntimeError("nothing happens any more in this cluster, and somebody waits for it")

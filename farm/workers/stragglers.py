"""Workers that are slower than others of their kind: a card that throttles, or that others compute on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from jobs.tasks.task import Stage

SLOW = 1.5
"""The ratio from which a worker is reported: equal cards differ by a few percent."""
ENOUGH = 3
"""Tasks of a stage, the first one not counted: it compiles kernels."""
LEAST_S = 0.2
"""Shorter tasks are mostly waits."""
UNEVEN = frozenset({Stage.ENCODE, Stage.SEGMENT})
"""Prompts, pictures and films take their own times, and segments share the processor."""


@dataclass
class _Mean:
    count: int = -1
    total: float = 0.0

    def add(self, ratio: float) -> None:
        self.total += ratio if self.count >= 0 else 0.0
        self.count += 1

    @property
    def enough(self) -> bool:
        return self.count >= ENOUGH

    @property
    def value(self) -> float:
        return self.total / self.count


class StragglerDetector:
    """What each worker takes for tasks of a stage, in terms of what those are expected to take."""

    def __init__(self) -> None:
        self._means: dict[Stage, dict[str, _Mean]] = defaultdict(lambda: defaultdict(_Mean))
        self._reported: set[str] = set()

    def observe(self, worker: str, stage: Stage, expected_s: float, seconds: float) -> str | None:
        """A task is done. What to say of a worker that is `SLOW` against the others: once."""
        if expected_s <= 0 or seconds < LEAST_S or worker in self._reported or stage in UNEVEN:
            return None
        mine = self._means[stage][worker]
        mine.add(seconds / expected_s)
        others = [mean.value for name, mean in self._means[stage].items() if name != worker and mean.enough]
        if not others or not mine.enough or mine.value < SLOW * median(others):
            return None
        self._reported.add(worker)
        return (
            f"{worker} takes {mine.value / median(others):.1f} times as long as the others to {stage.value}: "
            "look for heat, a power limit or other processes on its device (`nvidia-smi -q -d PERFORMANCE`)"
        )

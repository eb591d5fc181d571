"""How long a task may take before it is taken to hang. Learns from what the job's own tasks took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.scheduler.graph import KINDS

if TYPE_CHECKING:
    from farm.scheduler.config import HangConfig

_WEIGHT = 0.2
"""Of the newest measurement in the running mean."""


class StageDeadlines:
    """Per kind of task, the running means of measured over expected duration, from assignment to result,
    and of the part of it in which the device was done already (`after_s`)."""

    def __init__(self, config: HangConfig) -> None:
        self.config = config
        self.ratio = [0.0] * len(KINDS)
        self.after_s = [0.0] * len(KINDS)

    def observe(self, kind: int, expected_s: float, measured_s: float, after_s: float = 0.0) -> None:
        """A task of the kind finished."""
        self.after_s[kind] += _WEIGHT * (after_s - self.after_s[kind])
        ratio = measured_s / max(expected_s, 1e-6)
        known = self.ratio[kind]
        self.ratio[kind] = known + _WEIGHT * (ratio - known) if known else ratio

    def usual_s(self, kind: int, expected_s: float) -> float:
        """What a task of this expected duration takes, corrected by measurement."""
        return (self.ratio[kind] or 1.0) * expected_s

    def allowance_s(self, kind: int, expected_s: float, hangs: int, swap_s: float = 0.0) -> float:
        """Seconds from the start of a task to its deadline, after `hangs` hangs of the same task, where the
        worker first loads a model in about `swap_s`."""
        fixed_s = self.config.fixed_s.get(KINDS[kind])
        if fixed_s is not None:
            return fixed_s
        least_s = self.config.floor_s if self.ratio[kind] else self.config.first_s
        usual_s = self.usual_s(kind, expected_s)
        return (max(least_s, self.config.factor * usual_s) + self.config.factor * swap_s) * 2.0**hangs

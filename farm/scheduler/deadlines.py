"""How long a task may take before it is taken to hang. Learns from what the job's own tasks took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.scheduler.graph import STAGES

if TYPE_CHECKING:
    from farm.scheduler.config import HangConfig

_WEIGHT = 0.2
"""Of the newest measurement in the running mean."""


class StageDeadlines:
    """Per stage, the running means of measured over expected duration, from assignment to result, and of the
    part of it in which the device was done already (`after_s`)."""

    def __init__(self, config: HangConfig) -> None:
        self.config = config
        self.ratio = [0.0] * len(STAGES)
        self.after_s = [0.0] * len(STAGES)

    def observe(self, stage: int, expected_s: float, measured_s: float, after_s: float = 0.0) -> None:
        """A task of the stage finished."""
        self.after_s[stage] += _WEIGHT * (after_s - self.after_s[stage])
        ratio = measured_s / max(expected_s, 1e-6)
        known = self.ratio[stage]
        self.ratio[stage] = known + _WEIGHT * (ratio - known) if known else ratio

    def usual_s(self, stage: int, expected_s: float) -> float:
        """What a task of this expected duration takes, corrected by measurement."""
        return (self.ratio[stage] or 1.0) * expected_s

    def allowance_s(self, stage: int, expected_s: float, hangs: int, swap_s: float = 0.0) -> float:
        """Seconds from the start of a task to its deadline, after `hangs` hangs of the same task, where the
        worker first loads a model in about `swap_s`."""
        fixed_s = self.config.fixed_s.get(STAGES[stage])
        if fixed_s is not None:
            return fixed_s
        least_s = self.config.floor_s if self.ratio[stage] else self.config.first_s
        usual_s = self.usual_s(stage, expected_s)
        return (max(least_s, self.config.factor * usual_s) + self.config.factor * swap_s) * 2.0**hangs

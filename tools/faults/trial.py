"""One fault, tried."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.faults.bench import Bench


@dataclass(frozen=True)
class Trial:
    """`run` raises where the render does not survive; `tried` is how many faults it makes at once."""

    part: str
    name: str
    run: Callable[[Bench], None]
    tried: int = 1


LONGEST_SILENCE_S = 11.0
"""Ten seconds, and what it takes to write a line."""


@dataclass(frozen=True)
class Result:
    """What came of a trial. `silence_s`: the longest that a driver said nothing; `fault` why it failed."""

    trial: Trial
    seconds: float
    silence_s: float
    fault: str = ""

    @property
    def survived(self) -> int:
        return 0 if self.fault else self.trial.tried


def attempt(trial: Trial, bench: Bench) -> Result:
    """Run a trial in a fresh folder; whatever it raises is its result."""
    bench.begin()
    began_s = time.monotonic()
    try:
        trial.run(bench)
        silent = bench.silence_s > LONGEST_SILENCE_S
        fault = f"silent for {bench.silence_s:.0f} s after {bench.last_words!r}" if silent else ""
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    return Result(trial, time.monotonic() - began_s, bench.silence_s, fault)

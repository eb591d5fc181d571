"""Which of several ways to compute the same is the fastest on a device."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import torch

REPEATS = 5

log = logging.getLogger(__name__)


def fastest_of_each(runs: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Seconds of each run's fastest of a few, by name; the device is waited for. What loads or compiles at
    the first call should have been called before. A run that fails takes infinitely long.

    The runs take turns: a device is slower when it begins, and the first of them would pay for it alone.
    """
    best = dict.fromkeys(runs, float("inf"))
    failed: set[str] = set()
    for _ in range(REPEATS):
        for name in [name for name in runs if name not in failed]:
            try:
                best[name] = min(best[name], _seconds(runs[name], device))
            except Exception:  # what is compared has failures of its own, without a common class
                log.warning("%s fails where it is timed", name, exc_info=True)
                best[name] = float("inf")
                failed.add(name)
    return best


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Which of several ways to compute the same is the fastest on a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

REPEATS = 5


def fastest_of_each(runs: Mapping[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Seconds of each run's fastest of a few, by name; the device is waited for. What loads or compiles at
    the first call should have been called before.

    The runs take turns: a device is slower when it begins, and the first of them would pay for it alone.
    """
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(REPEATS):
        for name, run in runs.items():
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

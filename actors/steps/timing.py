"""How long a step occupies its device, whether or not anyone waits for it."""

from __future__ import annotations

import sys
import time
from typing import Any


class StepTimer:
    """Runs from its making to `stop`. On a GPU the device's own clock is read: the host is done with a step
    long before the device."""

    def __init__(self, device: str) -> None:
        self._torch, self._device = _torch_with(device), device
        self._start = self._mark()

    def stop(self) -> None:
        """The step has been handed to the device."""
        self._stop = self._mark()

    def seconds(self) -> float:
        """Of the step, once it has been computed: waits for it."""
        if self._torch is None:
            return float(self._stop - self._start)
        self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) / 1e3

    def _mark(self) -> Any:
        if self._torch is None:
            return time.monotonic()
        event = self._torch.cuda.Event(enable_timing=True)
        event.record(self._torch.cuda.current_stream(self._device))
        return event


def _torch_with(device: str) -> Any:
    """torch where this process computes on a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch if device.startswith("cuda") and torch and torch.cuda.is_initialized() else None

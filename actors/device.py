"""The one thread that works with a device, and the allocations that failed there without a word."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_LATER = object()
_overcome = 0


def failed_allocations(device: str) -> int:
    """How often memory of the device ran out in this process, also where a library went on another way.

    A convolution whose workspace cannot be had is computed by another kernel, with other bytes, and no error.
    """
    torch = sys.modules.get("torch")
    if not device.startswith("cuda") or not torch or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0)) - _overcome


def overcome() -> None:
    """The failure just caught was made good by making room: it changes no byte."""
    global _overcome
    _overcome += 1


class DeviceThread:
    """Runs steps one after the other in one thread, as a library keeps what it prepares for the device,
    convolution plans and handles, by thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "device")

    def run(self, step: Callable[[], T]) -> T:
        """What the step answers; waits for its turn."""
        while True:
            thread = self._thread
            answer = thread.submit(self._turn, thread, step).result()
            if answer is not _LATER:
                return answer  # type: ignore[return-value]

    def renew(self) -> None:
        """Called by a step: those after it get a fresh thread, which has nothing of what this one chose
        while memory was short."""
        self._thread = ThreadPoolExecutor(1, "device")

    def close(self) -> None:
        self._thread.shutdown()

    def _turn(self, thread: ThreadPoolExecutor, step: Callable[[], T]) -> T | object:
        return step() if thread is self._thread else _LATER

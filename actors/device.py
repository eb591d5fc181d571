"""The one thread that works with a device, and the allocations that failed there without a word."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from actors.interrupts import result_of

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
    convolution plans and handles, by thread. A wait for the device is a step for another one: no signal
    interrupts it."""

    def __init__(self, name: str = "device") -> None:
        self._name = name
        self._thread = ThreadPoolExecutor(1, name)

    def run(self, step: Callable[[], T]) -> T:
        """What the step answers; waits for its turn. Ctrl-C ends the wait, not the step."""
        while True:
            thread = self._thread
            answer = result_of(thread.submit(self._turn, thread, step))
            if answer is not _LATER:
                return answer  # type: ignore[return-value]

    def renew(self) -> None:
        """Called by a step: those after it get a fresh thread, which has nothing of what this one chose
        while memory was short."""
        self._thread = ThreadPoolExecutor(1, self._name, _turn_to, (_current(),))

    def close(self) -> None:
        """Waits for the step that runs, and for those whose turn it makes."""
        closed = None
        while closed is not self._thread:
            closed = self._thread
            closed.shutdown()

    def _turn(self, thread: ThreadPoolExecutor, step: Callable[[], T]) -> T | object:
        return step() if thread is self._thread else _LATER


def _current() -> int | None:
    """The CUDA device that this thread works on."""
    torch = sys.modules.get("torch")
    return torch.cuda.current_device() if torch and torch.cuda.is_initialized() else None


def _turn_to(device: int | None) -> None:
    if device is not None:
        sys.modules["torch"].cuda.set_device(device)

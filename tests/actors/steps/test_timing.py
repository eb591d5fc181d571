"""Seconds of a step: the host's clock, or the device's own where the host does not wait for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from actors.steps import timing
from actors.steps.timing import StepTimer

if TYPE_CHECKING:
    import pytest


def test_the_hosts_clock_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 12.5])
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: next(now)))
    timer = StepTimer("cpu")
    timer.stop()
    assert timer.seconds() == 2.5


def test_the_devices_clock_is_read_once_the_step_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    class Event:
        made = 0

        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            Event.made += 1
            self.number = Event.made

        def record(self, stream: str) -> None:
            assert stream == "stream of cuda:1"

        def synchronize(self) -> None:
            waited.append(self.number)

        def elapsed_time(self, other: Event) -> float:
            assert waited == [other.number]
            return 1500.0

    cuda = SimpleNamespace(
        is_initialized=lambda: True, Event=Event, current_stream=lambda device: f"stream of {device}"
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    timer = StepTimer("cuda:1")
    timer.stop()
    assert waited == []
    assert timer.seconds() == 1.5

"""Kernels are timed in turns, so that none pays alone for a device that has just begun."""

from __future__ import annotations

import time
from functools import partial

import pytest
import torch

from actors.engines import timing

CPU = torch.device("cpu")


def test_runs_take_turns_and_each_keeps_its_fastest() -> None:
    called: list[str] = []
    seconds = timing.fastest_of_each({name: partial(called.append, name) for name in "ab"}, CPU)
    assert called == list("ab") * timing.REPEATS
    assert all(0 < taken < 0.01 for taken in seconds.values())


def test_a_device_that_begins_slowly_prefers_nobody() -> None:
    begun: list[float] = []

    def run() -> None:
        begun.append(0.0)
        time.sleep(0.1 if len(begun) <= timing.REPEATS else 0.02)

    first, second = timing.fastest_of_each({"first": run, "second": run}, CPU).values()
    assert first == pytest.approx(second, rel=0.5)
    assert first < 0.05


def test_a_run_that_fails_while_it_is_timed_is_infinitely_slow() -> None:
    def fails() -> None:
        raise RuntimeError("out of memory")

    seconds = timing.fastest_of_each({"fails": fails, "runs": lambda: None}, CPU)
    assert seconds["fails"] == float("inf")
    assert seconds["runs"] < 0.01


def test_nothing_to_time() -> None:
    assert timing.fastest_of_each({}, CPU) == {}

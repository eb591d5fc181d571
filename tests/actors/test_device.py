"""The thread of the device, and allocations that failed without a word."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from actors import device
from actors.device import DeviceThread, failed_allocations, overcome


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    thread = DeviceThread()
    yield thread
    thread.close()


def test_steps_share_one_thread(thread: DeviceThread) -> None:
    first = thread.run(threading.get_ident)
    assert first != threading.get_ident()
    assert thread.run(threading.get_ident) == first


def test_errors_reach_the_caller(thread: DeviceThread) -> None:
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 / 0)


def test_an_error_is_held_by_nothing_but_its_traceback(thread: DeviceThread) -> None:
    """In a cycle, what the step held would keep its memory until the garbage collector comes."""

    class Held:
        pass

    held: list[weakref.ref[Held]] = []

    def step() -> None:
        latents = Held()
        held.append(weakref.ref(latents))
        raise ZeroDivisionError

    gc.disable()
    try:
        with contextlib.suppress(ZeroDivisionError):
            thread.run(step)
        thread.run(lambda: None)
        assert held[0]() is None
    finally:
        gc.enable()


def test_what_waits_behind_a_step_that_renews_runs_in_the_fresh_thread(thread: DeviceThread) -> None:
    waiting, running = threading.Event(), [0, 0]

    def spoil() -> int:
        waiting.set()
        time.sleep(0.2)
        thread.renew()
        return threading.get_ident()

    def after() -> int:
        running[0] += 1
        running[1] = max(running)
        time.sleep(0.05)
        running[0] -= 1
        return threading.get_ident()

    with ThreadPoolExecutor(4) as callers:
        spoilt = callers.submit(thread.run, spoil)
        assert waiting.wait(5.0)
        others = [callers.submit(thread.run, after) for _ in range(3)]
        idents = {other.result(5.0) for other in others}
        assert len(idents) == 1
        assert spoilt.result() not in idents
    assert running[1] == 1


def test_a_signal_that_comes_before_the_wait_ends_it(thread: DeviceThread) -> None:
    """What another thread hears interrupts no wait of this one."""
    over = threading.Event()

    def step() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        over.wait(20.0)

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            thread.run(step)
        assert time.monotonic() - begun < 10.0
    finally:
        over.set()
        signal.signal(signal.SIGUSR1, before)


def test_only_failures_that_nobody_made_good_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed_allocations("cpu") == 0
    stats = {"num_ooms": 3}
    cuda = SimpleNamespace(is_initialized=lambda: True, memory_stats=lambda _: stats)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(device, "_overcome", 0)
    assert failed_allocations("cuda") == 3
    overcome()
    assert failed_allocations("cuda") == 2

"""Ctrl-C and SIGTERM reach whoever waits, whenever they come.

Python answers a signal between two instructions of the main thread, and a wait for a lock ends early for one.
One that comes just before such a wait is answered when the wait is over: waits of the main thread have to be
short. A KeyboardInterrupt that is raised in a finalizer or a callback is printed and dropped: the signal is
kept, and raised again where the main thread waits next.
"""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")

LOOK_S = 0.5
"""For this long a wait may keep a signal from being answered."""

_signal = ""


def hear(number: int, _frame: FrameType | None) -> NoReturn:
    """The handler of a process that one signal ends; a second one also breaks off the closing."""
    global _signal
    _signal = signal.Signals(number).name
    raise KeyboardInterrupt(heard())


def check() -> None:
    """Raise KeyboardInterrupt if a signal was heard: whoever gets here never saw the first one."""
    if said := heard():
        raise KeyboardInterrupt(said)


def heard() -> str:
    """`stopped by` and the signal that was heard; empty without one."""
    return f"stopped by {_signal}" if _signal else ""


def result_of(future: Future[T]) -> T:
    """The result, waited for. Raises what the future raised, and KeyboardInterrupt if a signal was heard."""
    # `Future.result` waits in Python code, where an interrupt can come out as an error about a lock.
    ended = threading.Lock()
    ended.acquire()
    future.add_done_callback(lambda _: ended.release())
    check()
    while not ended.acquire(timeout=LOOK_S):
        check()
    try:
        return future.result()
    finally:
        # An error holds this frame by its traceback: in a cycle, what the step held would wait for the
        # garbage collector.
        del future

"""Failures acted out on purpose: the script that the fake engine follows in tests and drills.

`engine.fake.faults` names a JSON file:

    {"faults": [{"task": "dawn/00001/sample", "attempts": [1], "do": "kill", "after_s": 0.1}]}

`task` is a task id, `attempts` the attempts it happens in (left out: every one), `after_s` the seconds from
the start of the task to the failure. What can be done is in `Fault`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np


class Fault(StrEnum):
    """`exit` to `slow` strike while the stage runs, `nan` to `short` spoil its result."""

    EXIT = "exit"
    KILL = "kill"
    STOP = "stop"
    HANG = "hang"
    OOM = "oom"
    HOARD = "hoard"
    RAISE = "raise"
    DEVICE_LOST = "device_lost"
    DISK_FULL = "disk_full"
    SLOW = "slow"
    NAN = "nan"
    SHAPE = "shape"
    BLACK = "black"
    FROZEN = "frozen"
    SHORT = "short"


_SPOILING = frozenset({Fault.NAN, Fault.SHAPE, Fault.BLACK, Fault.FROZEN, Fault.SHORT})
_FOREVER_S = 10**6
_HOARD_BYTES = 3 << 30
_HOARD_S = 60.0


@dataclass(frozen=True)
class PlannedFault:
    """One line of the script."""

    task: str
    do: Fault
    attempts: tuple[int, ...] = ()
    after_s: float = 0.0

    def strikes(self, task: str, attempt: int) -> bool:
        return self.task == task and (not self.attempts or attempt in self.attempts)


def read_script(path: Path) -> tuple[PlannedFault, ...]:
    """The faults of a script file."""
    entries = json.loads(path.read_text())["faults"]
    return tuple(
        PlannedFault(
            entry["task"],
            Fault(entry["do"]),
            tuple(entry.get("attempts", ())),
            float(entry.get("after_s", 0.0)),
        )
        for entry in entries
    )


def strike(faults: Sequence[PlannedFault]) -> None:
    """Act out those faults that happen while a stage runs."""
    for fault in faults:
        if fault.do not in _SPOILING:
            time.sleep(fault.after_s)
            _act(fault.do)


def _act(fault: Fault) -> None:
    match fault:
        case Fault.EXIT:
            os._exit(1)
        case Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Fault.HANG:
            time.sleep(_FOREVER_S)
        case Fault.OOM:
            raise MemoryError("out of memory on purpose")
        case Fault.HOARD:
            held = np.ones(_HOARD_BYTES, np.uint8)
            time.sleep(_HOARD_S)
            del held
        case Fault.RAISE:
            raise RuntimeError("a bug on purpose")
        case Fault.DEVICE_LOST:
            raise RuntimeError("CUDA error: an illegal memory access was encountered, on purpose")
        case Fault.DISK_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/on/purpose")


def spoil(array: np.ndarray, faults: Sequence[PlannedFault], time_axis: int) -> np.ndarray:
    """The result as the faults leave it."""
    for fault in faults:
        match fault.do:
            case Fault.NAN if array.dtype.kind == "f":
                array = np.full_like(array, np.nan)
            case Fault.SHAPE:
                array = array[..., :-1]
            case Fault.BLACK:
                array = np.zeros_like(array)
            case Fault.FROZEN:
                first = np.take(array, [0], axis=time_axis)
                array = np.repeat(first, array.shape[time_axis], axis=time_axis)
            case Fault.SHORT:
                array = np.delete(array, -1, axis=time_axis)
    return array

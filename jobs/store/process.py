"""Whether the process that a lock names is still there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process across hosts and reboots: `machine` is one boot of one host and one PID namespace."""

    pid: int
    machine: str
    started: str


def this_process() -> Process:
    """The calling process."""
    pid = os.getpid()
    return Process(pid, _machine(), _started(pid) or "")


def alive(process: Process) -> bool | None:
    """True or False where this host can tell, None where the process lives (or lived) elsewhere, or is hidden
    from this user."""
    if not process.machine or process.machine != _machine():
        return None
    started = _started(process.pid)
    return None if started is None else bool(started) and started == process.started


@cache
def _machine() -> str:
    """Empty where the operating system does not say; then no process is recognised as local."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The process's start in clock ticks since boot, which tells a reused PID apart; empty if it is gone,
    None where it is another user's and /proc shows each user only their own (`hidepid`)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if _is_of_another(pid) else ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _is_of_another(pid: int) -> bool:
    """Whether there is such a process, of a user whose processes this one may not signal."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False

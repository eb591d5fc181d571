"""Processes as the kernel shows them: who descends from whom, and which of them are farm workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

WORKER_TITLE = "ray::RayWorker"


def parents() -> dict[int, int]:
    """Parent process id by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(entry.name)] = int(fields[1])
    return found


def state(pid: int) -> str:
    """The letter that the kernel shows for a process: `T` for a stopped one, `X` for none."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def descendants(root: int) -> set[int]:
    """Living processes below `root`."""
    above = parents()
    found = {root}
    grew = True
    while grew:
        below = {pid for pid, parent in above.items() if parent in found} - found
        found |= below
        grew = bool(below)
    return found - {root}


def title(pid: int) -> str:
    try:
        return (
            (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def farm_workers(root: int) -> set[int]:
    """Farm workers below `root`, starting ones included."""
    return {pid for pid in descendants(root) if title(pid).startswith(WORKER_TITLE)}


def alive(pids: set[int]) -> set[int]:
    """Those that still run (a zombie does not)."""
    return pids & parents().keys()


def until(condition: Callable[[], bool], within_s: float, what: str, poll_s: float = 0.1) -> None:
    """Wait for a condition; fail with `what` when it does not come true."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(poll_s)

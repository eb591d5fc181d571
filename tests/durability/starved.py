"""A serial render whose decoder may take only so many bytes more than the process has.

Prints one JSON line: outcome, kinds of failures, tasks committed, and per film its SHA-256 and whether exact.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.diffusers.engine import DiffusersEngine
from farm.api import render
from farm.events import JobFinished, TaskCommitted, TaskFailed

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.base import FramesElsewhere
    from actors.payload import Payload
    from jobs.planning.params import DecodeParams

DATA = 5
"""The column of `statm` that `RLIMIT_DATA` bounds, in pages."""


@contextmanager
def little_memory(more_bytes: int) -> Iterator[None]:
    """Allocations beyond this fail, as the allocator reports it."""
    pages = int(Path("/proc/self/statm").read_text().split()[DATA])
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def starve(more_bytes: int) -> None:
    """Give every decode of this process so much memory and no more."""
    decode = DiffusersEngine.decode

    def starved(
        engine: DiffusersEngine, params: DecodeParams, latents: Payload
    ) -> np.ndarray | FramesElsewhere:
        with little_memory(more_bytes):
            return decode(engine, params, latents)

    DiffusersEngine.decode = starved  # type: ignore[method-assign,assignment]


def main(spec: str, runs: str, more_bytes: str) -> None:
    if int(more_bytes):
        starve(int(more_bytes))
    told: dict[str, Any] = {"failed": [], "committed": []}
    for event in render(json.loads(spec), runs=runs, serial=True):
        match event:
            case TaskFailed():
                told["failed"].append([event.task, event.kind])
            case TaskCommitted():
                told["committed"].append(event.task)
            case JobFinished():
                films = {film["name"]: [film["sha256"], film["exact"]] for film in event.state["videos"]}
                told |= {"outcome": event.outcome, "films": films}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])

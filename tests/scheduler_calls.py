"""What the scheduler does for an event, counted: unlike seconds, the same on every machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

    from farm.scheduler.commands import Command
    from farm.scheduler.events import Event
    from farm.simulator.simulate import Simulation


def calls_per_event(run: Simulation) -> float:
    """Function calls inside the scheduler while the simulation runs, by event."""
    handle, calls = run.scheduler.handle, 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def counted(event: Event, now: float) -> list[Command]:
        sys.setprofile(count)
        try:
            return handle(event, now)
        finally:
            sys.setprofile(None)

    run.scheduler.handle = counted  # type: ignore[method-assign]
    run.run()
    return calls / run.events

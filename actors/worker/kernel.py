"""What the spec's `attention_mode: auto` means for one pass on a worker's device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.planning.params import PassParams
    from jobs.planning.rounds.params import TileParams

    Run = TypeVar("Run", PassParams, TileParams, PassParams | TileParams)

AUTO = "auto"


def with_kernel(run: Run, engine: Engine) -> Run:
    """The pass or tile with this device's attention kernel, where the spec leaves the choice."""
    if run.attention_mode != AUTO:
        return run
    return replace(run, attention_mode=engine.modes().get("attention_mode", AUTO))

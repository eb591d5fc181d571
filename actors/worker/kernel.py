"""What the spec's `attention_mode: auto` means for one pass on a worker's device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.planning.params import PassParams

AUTO = "auto"


def with_kernel(run: PassParams, engine: Engine) -> PassParams:
    """The pass with this device's attention kernel, where the spec leaves the choice."""
    if run.attention_mode != AUTO:
        return run
    return replace(run, attention_mode=engine.modes().get("attention_mode", AUTO))

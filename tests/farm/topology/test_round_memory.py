"""What temporal rounds need beside their models."""

from __future__ import annotations

from typing import Any

import pytest

from farm.topology.memory import RUNTIME_GIB
from jobs.tasks.task import Stage
from tests.farm.topology.test_memory import TWICE, peaks


def test_temporal_rounds_need_no_larger_decode() -> None:
    """121 frames become 481, but no window has more latents than a chunk in the middle of a film has."""
    chunks = [{"generate": {"num_frames": 121}}, *[{"extend": {"num_new_frames": 120}}] * 2]
    job: dict[str, Any] = {"defaults": {"width": 960, "height": 544, "prompt": "a clip", "cfg": 3.0}}
    job["videos"] = [{"name": "clip", "chunks": chunks}]
    plain, fast = (
        peaks(**job, upscale={**TWICE, **more}).gib for more in ({"joint": "still"}, {"temporal": 4})
    )
    assert fast[Stage.DECODE] == plain[Stage.DECODE] == pytest.approx(RUNTIME_GIB + 42.5, abs=0.1)

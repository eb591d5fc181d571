"""A small job on the fake engine, with faults and changes of its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNKS = [
    {"generate": {"prompt": "a", "num_frames": 17}},
    {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}},
    {"extend": {"prompt": "c", "num_new_frames": 16, "overlap_frames": 24}},
    {"generate": {"prompt": "d", "num_frames": 9}},
]

MakeBench = Callable[..., Any]


def job_spec(
    faults: list[dict[str, Any]] | None = None, folder: Path | None = None, **more: Any
) -> dict[str, Any]:
    fake: dict[str, Any] = {}
    if faults is not None:
        assert folder is not None
        script = folder / "faults.json"
        script.write_text(json.dumps({"faults": faults}))
        fake["faults"] = str(script)
    return {
        "engine": {"name": "fake", "fake": fake},
        "defaults": {"width": 64, "height": 32, "steps": 2},
        "videos": [{"name": "film", "chunks": CHUNKS}],
        **more,
    }

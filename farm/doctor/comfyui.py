"""The ComfyUI that the engine would run, and what its core has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from farm.doctor.finding import Finding, fail, ok, warn
from jobs.errors import CannotRun

FOUND_BY = "name it with --comfyui PATH, `engine.comfyui`, or the environment variable COMFYUI_PATH"


def check_comfyui(folder: str | None) -> Iterator[Finding]:
    """Starts the core in a process of its own and asks for every API that the farm uses."""
    from actors.engines.comfyui.probe import probe

    place = folder or os.environ.get("COMFYUI_PATH")
    if not place:
        yield fail("comfyui", "no ComfyUI is named", FOUND_BY)
        return
    if not (Path(place) / "main.py").is_file():
        yield fail("comfyui", f"{place} holds no main.py", FOUND_BY)
        return
    try:
        report = probe(Path(place))
    except CannotRun as error:
        yield fail(
            "comfyui", str(error), "pip install 'ltx-farm[comfyui]' and what its requirements.txt names"
        )
        return
    head = f"{report.version} at {place}"
    yield (
        ok("comfyui", head)
        if report.usable
        else fail("comfyui", f"{head} cannot sample LTX", "update ComfyUI")
    )
    missing = [
        line for name, line in zip(report.missing, report.lines(), strict=True) if report.missing[name]
    ]
    yield from (warn("comfyui", line, "update ComfyUI to use it") for line in missing)

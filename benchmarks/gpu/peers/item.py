"""Seconds for one clip of LTX-2.3 with sound at 1920x1088, distilled, two passes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.attention import flash4
from benchmarks.gpu.decode_items import engine_settings
from benchmarks.gpu.peers import comfyui_side, diffusers_side, farm_side, fastvideo_side, ltx_pipelines_side
from benchmarks.gpu.peers.clip import Timed, clip_of

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

REPEATS = 2
"""Warm clips."""
TOLD = 300
"""Characters of an error that its row has."""
SIZE, FARM = "ltx2.3", "farm"


def peers(bench: Bench) -> None:
    """Each in a process of its own, which has the device to itself."""
    settings = engine_settings(bench, SIZE)
    rows: list[dict[str, Any]] = []
    for name, run in _sides(bench, settings):
        if not wanted(name, bench.peers):
            continue
        try:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                made: Timed = pool.submit(run, bench).result()
        except Exception as error:  # what a peer cannot do is told, and the others go on
            rows.append({"who": name, "warm s": f"{type(error).__name__}: {error}"[:TOLD]})
        else:
            warm_s = min(made.seconds[1:])
            rows.append({"who": name, "cold s": made.seconds[0], "warm s": warm_s, "GiB": made.peak_gib})
            if isinstance(farm_s := rows[0]["warm s"], float) and rows[0]["who"] == FARM:
                rows[-1]["against the farm"] = warm_s / farm_s
        bench.table(f"One clip, {clip_of(bench).name} with sound, distilled: who needs how long", rows)


def wanted(name: str, begins: Sequence[str]) -> bool:
    """Whether one is run where `begins` was asked for; all are where nothing was."""
    return not begins or name.lower().startswith(tuple(word.lower() for word in begins))


def _sides(bench: Bench, settings: dict[str, Any]) -> Iterator[tuple[str, Callable[[Bench], Timed]]]:
    files = Path(settings["checkpoint"]), Path(settings["upscale_model"])
    eight = {**settings, "dtype": "fp8"}
    yield FARM, partial(farm_side.run, settings=settings, repeats=REPEATS)
    yield "farm, fp8", partial(farm_side.run, settings=eight, repeats=REPEATS)
    checkpoint, upsampler = files
    named: dict[str, Any] = {"checkpoint": checkpoint, "upsampler": upsampler, "repeats": REPEATS}
    if find_spec("ltx_pipelines"):
        yield "ltx-pipelines", partial(ltx_pipelines_side.run, **named)
        yield "ltx-pipelines, fp8-cast", partial(ltx_pipelines_side.run, **named, fp8=True)
    yield "diffusers", partial(diffusers_side.run, **named)
    yield "diffusers, blocks compiled", partial(diffusers_side.run, **named, compiled=True)
    if find_spec("fastvideo"):
        yield "FastVideo", partial(fastvideo_side.run, **named)
        yield "FastVideo, blocks compiled", partial(fastvideo_side.run, **named, compiled=True)
        if flash4.installed() and bench.real:
            told = "FastVideo, blocks compiled, FlashAttention 4"
            yield told, partial(fastvideo_side.run, **named, compiled=True, flash=True)
    if bench.comfyui:
        yield "ComfyUI", partial(comfyui_side.run, **named)
        yield "ComfyUI, fp8", partial(comfyui_side.run, **named, fp8=True)

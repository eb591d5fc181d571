"""Frames to host memory, the decode hidden behind sampling, and memory that really runs out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.films import (
    Film,
    graph_of,
    inputs_of,
    open_engine,
)
from benchmarks.gpu.watch import wait
from benchmarks.gpu.weights import PUBLISHED, checkpoint, upsampler_beside

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

STAGES = ("encode", "sample", "upscale", "decode")
TIGHT, MARGIN_GIB = 0.8, 0.25
"""Share of what a decode needs that is left to it, and how exactly that is measured."""


def engine_settings(bench: Bench, size: str, name: str = "diffusers") -> dict[str, Any]:
    """The spec's engine section for a random checkpoint of `size`."""
    path = checkpoint(size if bench.real else _small(size), bench.scratch / "models", bench.device)
    settings = {"name": name, "checkpoint": str(path), "upscale_model": str(upsampler_beside(path))}
    if size in PUBLISHED and name == "comfyui":
        settings["audio_vae"] = str(path)
    return settings


def _small(size: str) -> str:
    if size not in PUBLISHED:
        return "rehearsal"
    return "ltx2.5-rehearsal" if size == "ltx2.5" else "ltx2-rehearsal"


def transfer(bench: Bench) -> None:
    """Frames of one chunk at 2x: bytes a second to host memory, ordinary and page-locked."""
    import torch

    from actors.engines.transfer import DeviceFrames

    clip = bench.clip
    shape = (clip.frames, clip.height * 2, clip.width * 2, 3)
    frames = torch.randint(0, 255, shape, dtype=torch.uint8, device=bench.device)
    ways: dict[str, Callable[[], Any]] = {"ordinary copy (.cpu())": lambda: frames.cpu().numpy()}
    if bench.device.startswith("cuda"):
        ways["page-locked, own stream (the product's)"] = lambda: DeviceFrames(frames).send().land()
    rows = []
    for name, run in ways.items():
        times = [_timed(run, bench.device) for _ in range(6)]
        best = sorted(times[1:])[2]
        row = {"way": name, "MB": frames.nbytes / 1e6, "first s": times[0], "median s": best}
        rows.append({**row, "GB/s": frames.nbytes / best / 1e9})
    bench.table("Frames to host memory: one chunk at 2x", rows)


def decode_overlap(bench: Bench) -> None:
    """Decodes and samples in turn: what a chunk takes when frames leave beside the next step, when each step
    waits for them, and when they stay on the device."""
    from actors.steps.run import begin_stage

    film = Film("overlap", engine_settings(bench, "2b"), bench.clip, extends=0)
    engine = open_engine(bench, film.engine, STAGES)
    tasks, known = known_tasks(bench, film, engine)
    sample, decode = tasks["sample"], tasks["decode"]

    def step(task: Any) -> Any:
        return begin_stage(task, inputs_of(task, known), engine, Path())

    def no_copy() -> None:
        engine_frames = engine.decode(decode.params, inputs_of(decode, known)["latents"][0])
        wait(bench.device)
        del engine_frames

    landing: list[threading.Thread] = []
    ways = {
        "frames stay": no_copy,
        "each step waits": lambda: _land(step(decode)),
        "beside the next step": lambda: _land_beside(step(decode), landing),
    }
    chunk_s = {}
    for name, leave in ways.items():
        _chunks(bench, 1, partial(_both, step, sample, leave))
        chunk_s[name] = _chunks(bench, bench.count(6, 2), partial(_both, step, sample, leave))
        for thread in landing:
            thread.join()
    chunk_s["exposed by the product's way"] = chunk_s["beside the next step"] - chunk_s["frames stay"]
    rows = [{"frames": name, "chunk s": taken} for name, taken in chunk_s.items()]
    bench.table("Decode behind sampling: seconds of a chunk (sample at base size, decode at 2x)", rows)
    engine.close()


def _land(result: Any) -> None:
    from actors.engines.base import Arriving

    if isinstance(result, Arriving):
        result.land()


def _land_beside(result: Any, landing: list[threading.Thread]) -> None:
    landing.append(threading.Thread(target=_land, args=(result,)))
    landing[-1].start()


def _both(step: Callable[[Any], Any], sample: Any, leave: Callable[[], None]) -> None:
    step(sample)
    leave()


def made_tasks(bench: Bench, film: Film, engine: Any) -> tuple[list[Any], dict[str, Any]]:
    """A film's tasks in plan order, and the results of all but the segments by task id."""
    from actors.steps.run import run_stage

    graph = graph_of(bench, film, engine.modes()["attention_mode"])
    known: dict[str, Any] = {}
    for task in graph.tasks.values():
        if task.stage.value != "segment":
            known[task.id] = run_stage(task, inputs_of(task, known), engine, Path())
    return list(graph.tasks.values()), known


def known_tasks(bench: Bench, film: Film, engine: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `made_tasks`, the tasks by stage: of a film that has one of each."""
    tasks, known = made_tasks(bench, film, engine)
    return {task.stage.value: task for task in tasks}, known


def _chunks(bench: Bench, count: int, run: Callable[[], Any]) -> float:
    wait(bench.device)
    start = time.perf_counter()
    for _ in range(count):
        run()
    wait(bench.device)
    return (time.perf_counter() - start) / count


whole_decode: list[Any] = []


def _timed(run: Callable[[], Any], device: str) -> float:
    wait(device)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start

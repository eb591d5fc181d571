"""Frames to host memory, the decode hidden behind sampling, and memory that really runs out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from actors.device import DeviceThread, failed_allocations
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.films import (
    Film,
    Rendered,
    graph_of,
    inputs_of,
    open_engine,
    render,
    stage_of,
)
from benchmarks.gpu.watch import GIB, Peak, wait
from benchmarks.gpu.weights import checkpoint, upsampler_beside

STAGES = ("encode", "sample", "upscale", "decode")
TIGHT, MARGIN_GIB = 0.8, 0.25
"""Share of what a decode needs that is left to it, and how exactly that is measured."""


def engine_settings(bench: Bench, size: str, name: str = "diffusers") -> dict[str, Any]:
    """The spec's engine section for a random checkpoint of `size`."""
    path = checkpoint(
        size if bench.real else _small(size), bench.scratch / "models", bench.device, bench.comfyui
    )
    settings = {"name": name, "checkpoint": str(path), "upscale_model": str(upsampler_beside(path))}
    if size == "ltx2":
        settings["audio_vae"] = str(path)
    return settings


def _small(size: str) -> str:
    return "ltx2-rehearsal" if size == "ltx2" else "rehearsal"


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
    from actors.engines.base import Arriving
    from actors.steps.run import begin_stage

    film = Film("overlap", engine_settings(bench, "2b"), bench.clip, extends=0)
    engine = open_engine(bench, film.engine, STAGES)
    tasks, known = _made(bench, film, engine)
    sample, decode = tasks["sample"], tasks["decode"]

    def step(task: Any) -> Any:
        return begin_stage(task, inputs_of(task, known), engine, Path())

    def no_copy() -> None:
        engine_frames = engine.decode(decode.params, inputs_of(decode, known)["latents"][0])
        wait(bench.device)
        del engine_frames

    def waits() -> None:
        result = step(decode)
        if isinstance(result, Arriving):
            result.land()

    def beside() -> None:
        result = step(decode)
        if isinstance(result, Arriving):
            landing.append(threading.Thread(target=result.land))
            landing[-1].start()

    landing: list[threading.Thread] = []
    ways = {"frames stay": no_copy, "each step waits": waits, "beside the next step": beside}
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


def _made(bench: Bench, film: Film, engine: Any) -> tuple[dict[str, Any], dict[str, Any]]:
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


def out_of_memory(bench: Bench) -> None:
    """A decode that does not fit, for real: the allocator is limited once everything has been sampled."""
    film = Film("oom", engine_settings(bench, "2b"), bench.clip, extends=0, keep="all")
    least_gib = _least_gib(bench, film)
    rows: list[dict[str, Any]] = []
    frames = ""
    for name, limit in (
        ("nothing", None),
        ("the decode beside the models", _Limit(bench, least_gib + MARGIN_GIB)),
        ("the decode alone", _Limit(bench, TIGHT * least_gib)),
    ):
        try:
            made = render(bench, film, "serial", limit.on_event if limit else None)
        finally:
            if limit:
                limit.lift()
        decode, sample, upscale = (_of(made, stage) for stage in ("decode", "sample", "upscale"))
        frames = frames or decode.sha256
        rows.append(
            {
                "what does not fit": name,
                "limit GiB": limit.gib if limit else "none",
                "outcome": made.outcome,
                "decode attempts": decode.provenance["attempt"],
                "sample attempts": sample.provenance["attempt"],
                "upscale attempts": upscale.provenance["attempt"],
                "ladder": " > ".join(decode.provenance["ladder"]) or "none",
                "frames equal": decode.sha256 == frames,
                "exact": made.exact,
            }
        )
        title = "Memory that really runs out in the decoder"
        bench.table(f"{title} (alone it needs {least_gib:.1f} GiB)", rows)


def _of(made: Rendered, stage: str) -> Any:
    """The commit of a film's only task of a stage."""
    found = [commit for commit in made.commits.values() if stage_of(str(commit.provenance["task"])) == stage]
    (only,) = found
    return only


class _Limit:
    """Takes memory away when the decode begins."""

    def __init__(self, bench: Bench, gib: float) -> None:
        self.bench, self.gib, self._set = bench, gib, False

    def on_event(self, event: Any, made: Rendered) -> None:
        from farm.events import TaskStarted

        if isinstance(event, TaskStarted) and stage_of(event.task) == "decode" and not self._set:
            self._set = True
            self._take()

    def _take(self) -> None:
        if not self.bench.device.startswith("cuda"):
            return _fail_whole_decodes()
        import torch

        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction(self.gib / total)
        return None

    def lift(self) -> None:
        if self.bench.device.startswith("cuda"):
            import torch

            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
        else:
            _allow_whole_decodes()


def _least_gib(bench: Bench, film: Film) -> float:
    """The smallest limit under which the film's decode runs alone without an allocation that fails, found by
    halving; 0 on a CPU."""
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    engine = open_engine(bench, film.engine, STAGES)
    tasks, known = _made(bench, film, engine)
    decode, clip = tasks["decode"], _clip(tasks["decode"], known)
    engine.free("resident")
    with Peak(bench.device) as peak:
        engine.decode(decode.params, clip)
        wait(bench.device)
    total = torch.cuda.get_device_properties(0).total_memory / GIB

    def fits(gib: float) -> bool:
        torch.cuda.set_per_process_memory_fraction(gib / total)
        # A thread of its own has no kernels that an earlier trial chose.
        return DeviceThread().run(partial(_fits, bench, engine, decode, clip))

    least = smallest(fits, peak.gib / 2, min(total, peak.reserved_gib + MARGIN_GIB), MARGIN_GIB)
    torch.cuda.set_per_process_memory_fraction(1.0)
    engine.close()
    torch.cuda.empty_cache()
    return least


def smallest(fits: Callable[[float], bool], low: float, high: float, margin: float) -> float:
    """What fits and is at most `margin` above what does not; `low` is taken not to fit, `high` to fit."""
    while high - low > margin:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _fits(bench: Bench, engine: Any, decode: Any, clip: Any) -> bool:
    import torch

    failed = failed_allocations(bench.device)
    try:
        engine.free("resident")
        engine.decode(decode.params, clip)
        wait(bench.device)
    except torch.OutOfMemoryError:
        return False
    return failed_allocations(bench.device) == failed


def _clip(decode: Any, known: dict[str, Any]) -> Any:
    """The latents of a decode window, context included."""
    from actors.chain import gather
    from actors.payload import Payload

    artifacts = inputs_of(decode, known)["latents"]
    clip = gather([one["latents"] for one in artifacts], decode.params.spans, decode.params.window.context)
    return Payload({"latents": clip})


_whole_decode: list[Any] = []


def _fail_whole_decodes() -> None:
    """Where there is no device memory to take away: decodes without tiles fail as they would."""
    import torch

    from actors.engines.diffusers.ltx_video.codec import VideoCodec

    def fail(self: Any, latents: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory (rehearsal)")

    _whole_decode.append(VideoCodec.decode)
    VideoCodec.decode = fail  # type: ignore[method-assign]


def _allow_whole_decodes() -> None:
    from actors.engines.diffusers.ltx_video.codec import VideoCodec

    if _whole_decode:
        VideoCodec.decode = _whole_decode.pop()  # type: ignore[method-assign]


def _timed(run: Callable[[], Any], device: str) -> float:
    wait(device)
    start = time.perf_counter()
    run()
    return time.perf_counter() - start

"""Where the device waits: kernels of single steps as the profiler saw them, and the gaps between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES, engine_settings, made_tasks
from benchmarks.gpu.films import Film, inputs_of, open_engine
from benchmarks.gpu.watch import wait

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

LONG_GAP_US = 200.0
"""Gaps from here on are listed: shorter ones are the host launching kernel after kernel."""
LISTED = 6


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel or copy on the device, microseconds."""

    name: str
    start_us: float
    stop_us: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Time in which nothing ran, between two kernels."""

    after: str
    before: str
    us: float


def idle(bench: Bench) -> None:
    """One sample with guides, one without, one upscale and one decode, all warm: share of the time in which
    the device worked, and the longest gaps."""
    film = Film("idle", engine_settings(bench, "2b"), bench.clip, extends=1)
    engine = open_engine(bench, film.engine, STAGES)
    tasks, known = made_tasks(bench, film, engine)
    rows, gaps = [], []
    for name in ("0000/sample", "0001/sample", "0001/upscale", "0001/decode"):
        (task,) = (task for task in tasks if task.id.endswith(name))
        kernels, step_us = _profiled(bench, partial(_step, task, known, engine))
        between = gaps_of(kernels)
        span_us = max(kernel.stop_us for kernel in kernels) - min(kernel.start_us for kernel in kernels)
        busy_us = span_us - sum(gap.us for gap in between)
        short = [gap.us for gap in between if gap.us < LONG_GAP_US]
        long = [gap for gap in between if gap.us >= LONG_GAP_US]
        rows.append(
            {
                "step": name,
                "kernels": len(kernels),
                "step s": step_us / 1e6,
                "busy s": busy_us / 1e6,
                "busy share": busy_us / step_us,
                "short gaps s": sum(short) / 1e6,
                "long gaps s": sum(gap.us for gap in long) / 1e6,
                "before the first and after the last s": (step_us - span_us) / 1e6,
            }
        )
        longest = sorted(long, key=lambda gap: -gap.us)[:LISTED]
        gaps += [
            {"step": name, "gap ms": gap.us / 1e3, "after": gap.after[:60], "before": gap.before[:60]}
            for gap in longest
        ]
        bench.table("Where the device waits: steps in process, profiled", rows)
    bench.table("Where the device waits: the longest gaps", gaps)
    engine.close()


def gaps_of(kernels: Sequence[Kernel]) -> list[Gap]:
    """What lies between the spans; the kernel before a gap and the one after it are named."""
    ordered = sorted(kernels, key=lambda kernel: kernel.start_us)
    gaps = []
    stop_us, last = ordered[0].stop_us, ordered[0].name
    for kernel in ordered[1:]:
        if kernel.start_us > stop_us:
            gaps.append(Gap(last, kernel.name, kernel.start_us - stop_us))
        if kernel.stop_us > stop_us:
            stop_us, last = kernel.stop_us, kernel.name
    return gaps


def _step(task: Any, known: dict[str, Any], engine: Any) -> None:
    from actors.steps.run import run_stage

    run_stage(task, inputs_of(task, known), engine, Path())


def _profiled(bench: Bench, run: Callable[[], None]) -> tuple[list[Kernel], float]:
    """Kernels of the second run (the first warms up), and how long it took, microseconds."""
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity, profile

    on_gpu = bench.device.startswith("cuda")
    run()
    wait(bench.device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        run()
        wait(bench.device)
        step_us = (time.perf_counter() - start) * 1e6
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    kernels = [
        Kernel(event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == kind
    ]
    if not kernels:
        raise RuntimeError("the profiler saw no kernel: it may lack the right to read the card's counters")
    return kernels, step_us

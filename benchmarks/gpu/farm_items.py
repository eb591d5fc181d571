"""Films through the farm: engines at real sizes, overhead, stages that share a GPU, equal bytes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES, engine_settings
from benchmarks.gpu.films import Film, Looped, Rendered, bare_loop, median, open_engine, render, watched
from benchmarks.gpu.ray_here import has_ray, one_ray, quiet_ray
from benchmarks.gpu.watch import Watch, card
from benchmarks.gpu.weights import PUBLISHED

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

OVERHEAD_BAR, BUSY_BAR = 1.02, 0.97
SPLIT = "sample=1@0.34,upscale=1@0.33,decode=1@0.33"
TWICE = "mono=2@0.5"


def engine_item(name: str, size: str, dtype: str = "auto") -> Any:
    """The item that renders a film with an engine at one size: on Ray, or in process where it is missing."""

    def run(bench: Bench) -> None:
        settings = engine_settings(bench, size, name) | {"dtype": dtype}
        film = Film(f"{name}-{size}-{dtype}", settings, bench.clip, extends=2, sound=size in PUBLISHED)
        topology = "mono" if has_ray() else "serial"
        quiet_ray()
        made, watch = watched(bench, film, topology)
        what = {"engine": name, "model": size, "dtype": dtype, "card": card(bench.device)}
        what["through"] = topology
        bench.table(f"Stages: {name}, {size}, {dtype}", [{**what, **row} for row in stage_rows(made)])
        bench.table(f"Worker: {name}, {size}, {dtype}", [{**what, **worker_row(made, watch)}])

    return run


def stage_rows(made: Rendered) -> list[dict[str, Any]]:
    """Seconds of each stage: its first task, which also warms the kernels up, and its last."""
    rows = []
    for stage in ("encode", "sample", "upscale", "decode", "segment"):
        if times := made.stage(stage):
            rows.append({"stage": stage, "first s": times[0], "last s": times[-1], "tasks": len(times)})
    return rows


def worker_row(made: Rendered, watch: Watch) -> dict[str, Any]:
    """Start-up, memory and use of the device."""
    return {
        "ready s": max(made.ready_s.values()),
        "makespan s": made.makespan_s,
        "device GiB": watch.peak_gib,
        "host GiB of the largest worker": watch.host_gib,
        "busy, whole render": watch.busy(made.first_s, made.last_s),
        "busy, steady state": watch.busy(*made.steady()),
    }


def overhead(bench: Bench) -> None:
    """The farm on one mono worker against the bare loop of the same step functions, in turn."""
    with one_ray():
        _overhead(bench)


def _overhead(bench: Bench) -> None:
    film = Film("overhead", engine_settings(bench, "2b"), bench.clip)
    film = replace(film, videos=bench.count(4, 2), extends=bench.count(4, 1), upscale=False)
    rows, loops, renders, busy = [], [], [], []
    for number in range(bench.repeats):
        attention, looped = cold_loop(bench, film)
        made, watch = watched(bench, film, "mono")
        loops.append(looped)
        renders.append(made.makespan_s)
        busy.append(watch.busy(*made.steady()))
        rows.append(
            {
                "run": number + 1,
                "chunks": film.chunks,
                "attention": attention,
                "loop s": looped.total_s,
                "loop without segments s": looped.device_s,
                "CUDA events around the loop's steps s": looped.events_s,
                "farm s": made.makespan_s,
                "farm's steps s": sum(sum(made.stage(stage)) for stage in ("sample", "decode")),
                "farm busy, steady (NVML)": busy[-1],
            }
        )
        bench.table("Overhead: every run", rows)
    bench.table("Overhead: medians against the bars", _verdict(loops, renders, busy))


def cold_loop(bench: Bench, film: Film) -> tuple[str, Looped]:
    """The attention mode and the bare loop's laps, in a process of its own: its kernels are as cold as those
    of the farm's worker."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_open_and_loop, bench, film).result()


def _open_and_loop(bench: Bench, film: Film) -> tuple[str, Looped]:
    engine = open_engine(bench, film.engine, STAGES)
    attention = engine.modes()["attention_mode"]
    return attention, bare_loop(bench, film, engine, attention)


def _verdict(loops: list[Any], renders: list[float], busy: list[float]) -> list[dict[str, Any]]:
    farm_s = median(renders)
    with_all, without = (median(one.total_s for one in loops), median(one.device_s for one in loops))
    return [
        {"measure": "farm / loop of all steps", "value": farm_s / with_all, "bar": f"<= {OVERHEAD_BAR}"},
        {"measure": "farm / loop without segments", "value": farm_s / without, "bar": "for comparison"},
        {"measure": "busy in steady state", "value": median(busy), "bar": f">= {BUSY_BAR}"},
    ]


def colocated(bench: Bench) -> None:
    """One worker with all stages, three that share the card, and two whole ones that share it."""
    with one_ray():
        _colocated(bench)


def _colocated(bench: Bench) -> None:
    film = Film("shared", engine_settings(bench, "2b"), replace(bench.clip, steps=bench.count(8, 1)))
    film = replace(film, videos=2, extends=bench.count(2, 1))
    rows: list[dict[str, Any]] = []
    for topology in ("mono", SPLIT, TWICE):
        made, watch = watched(bench, film, topology)
        row = {"topology": topology, "chunks": film.chunks, "makespan s": made.makespan_s}
        row |= {
            f"{stage} s": median(made.stage(stage)) for stage in ("sample", "upscale", "decode", "segment")
        }
        row |= {"busy, steady": watch.busy(*made.steady()), "device GiB": watch.peak_gib}
        row["against mono"] = made.makespan_s / rows[0]["makespan s"] if rows else 1.0
        rows.append(row)
        bench.table("Stages that share one card against one worker (medians of the stage steps)", rows)


def determinism_item(dtype: str) -> Callable[[Bench], None]:
    """The same film in process, on Ray twice, split over three workers, and with the worker killed."""

    def run(bench: Bench) -> None:
        with one_ray():
            _determinism(bench, dtype)

    return run


def _determinism(bench: Bench, dtype: str) -> None:
    settings = engine_settings(bench, "2b") | {"dtype": dtype}
    film = Film("equal", settings, replace(bench.clip, steps=bench.count(4, 1), refine=1))
    film = replace(film, videos=bench.count(2, 1), extends=bench.count(2, 1), keep="all")
    rows: list[dict[str, Any]] = []
    reference: Rendered | None = None
    for name, topology, kill in (
        ("in process", "serial", False),
        ("mono", "mono", False),
        ("mono again", "mono", False),
        ("three workers on the card", SPLIT, False),
        ("mono, worker killed while it sampled", "mono", True),
    ):
        if topology != "serial" and not has_ray():
            continue
        killer = Killer(bench.folder(f"trace{len(rows)}") / "trace.jsonl") if kill else None
        made = render(bench, film, topology)
        killed = killer.close() if killer else 0
        reference = reference or made
        row = {"render": name, "workers killed": killed, "attention": made.attention}
        rows.append({**row, **compared(made, reference)})
        bench.table(f"Determinism on the device, {dtype}: hashes against the first render", rows)


def compared(made: Rendered, reference: Rendered) -> dict[str, Any]:
    """Whether a render made the bytes of another one."""
    mine, theirs = made.hashes(), reference.hashes()
    other = sorted(task for task in theirs if mine.get(task) != theirs[task])
    return {
        "artifacts equal": f"{len(theirs) - len(other)} of {len(theirs)}",
        "films equal": made.films == reference.films,
        "first that differs": other[0] if other else "none",
        "exact": made.exact,
    }


class Killer:
    """Kills the process that begins its second sample, once; the trace of the workers says which it is."""

    def __init__(self, trace: Path) -> None:
        from farm.workers.workforce import TRACE

        self.trace, self.killed, self._done = trace, 0, threading.Event()
        os.environ[TRACE] = str(trace)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> int:
        """Stop watching; how many were killed."""
        from farm.workers.workforce import TRACE

        self._done.set()
        self._thread.join()
        os.environ.pop(TRACE, None)
        return self.killed

    def _watch(self) -> None:
        while not self._done.wait(0.02) and not self.killed:
            lines = self.trace.read_text().splitlines() if self.trace.exists() else []
            begun = [json.loads(line) for line in lines if '"begin"' in line and line.endswith("}")]
            samples = [one for one in begun if one["task"].endswith("/sample")]
            if len(samples) > 1:
                time.sleep(0.1)
                os.kill(samples[1]["pid"], signal.SIGKILL)
                self.killed = 1

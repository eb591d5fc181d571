"""Chunks that several GPUs sample together: seconds of a step, memory, bytes, and a rank that is lost."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from benchmarks.gpu.decode_items import engine_settings
from benchmarks.gpu.films import REPEATS, WORDS
from benchmarks.gpu.ray_here import gpus_of
from benchmarks.gpu.weights import PUBLISHED
from jobs.errors import WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from actors.worker.worker import StageWorker
    from benchmarks.gpu.bench import Bench
    from jobs.planning.params import PassParams
    from jobs.tasks.task import TaskGraph

FEW, MORE = 1, 4
"""Steps of two renders, whose difference is that of so many steps alone."""
GUIDED_BAR, PLAIN_BAR = {2: 1.8, 4: 3.0}, {2: 1.6, 4: 3.0}
EVERY = {"name": "stg", "params": {"blocks": [28], "audio_cfg": 7.0, "modality": 3.0, "rescale": 0.7}}


@dataclass(frozen=True, slots=True)
class Cell:
    """One size of chunk with its guidance; `forwards` of the transformer in a step."""

    width: int
    height: int
    frames: int
    cfg: float
    guider: dict[str, Any] | None = field(default=None, hash=False)
    forwards: int = 1

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"


@dataclass
class Sampled:
    """What a worker of so many ranks did: by cell its seconds a step and the SHA-256 of its latents."""

    ready_s: float = 0.0
    unproven: str = ""
    step_s: dict[Cell, float] = field(default_factory=dict)
    sha256: dict[Cell, list[str]] = field(default_factory=dict)
    peak_gib: list[float] = field(default_factory=list)
    found_s: float | None = None
    """From the end of a rank to the error that says so."""
    closed_s: float = 0.0


def cells(bench: Bench, size: str) -> list[Cell]:
    if not bench.real:
        return [Cell(64, 64, 17, 3.0, forwards=2), Cell(64, 64, 17, 1.0)]
    if size in PUBLISHED:
        return [
            Cell(768, 512, 121, 3.0, EVERY, 4),
            Cell(768, 512, 121, 1.0),
            Cell(1536, 1024, 121, 3.0, forwards=2),
            Cell(1536, 1024, 121, 1.0),
            Cell(1920, 1088, 121, 1.0),
        ]
    sizes = ((768, 512, 97), (1536, 1024, 97), (1920, 1088, 121))
    return [Cell(*one, cfg, forwards=2 if cfg > 1 else 1) for one in sizes for cfg in (3.0, 1.0)]


def gang_item(size: str) -> Callable[[Bench], None]:
    """The item that samples the cells of a model by gangs of 1, 2, 4, ... GPUs, and loses a rank."""

    def run(bench: Bench) -> None:
        gpus = gpus_of(bench)
        settings, by_ranks = engine_settings(bench, size), {}
        for ranks in [count for count in (1, 2, 4, 8) if count <= gpus]:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                by_ranks[ranks] = pool.submit(_sampled, bench, settings, size, ranks).result()
            bench.table(f"Gangs: seconds of a step, {size}", step_rows(by_ranks))
            bench.table(f"Gangs: workers, {size}", worker_rows(by_ranks))

    return run


def step_rows(by_ranks: dict[int, Sampled]) -> list[dict[str, Any]]:
    alone, rows = by_ranks[1], []
    for cell, whole_s in alone.step_s.items():
        row: dict[str, Any] = {"clip": cell.name, "forwards": cell.forwards, "1 GPU": whole_s}
        for ranks, sampled in list(by_ranks.items())[1:]:
            shared_s, bars = sampled.step_s[cell], GUIDED_BAR if cell.forwards > 1 else PLAIN_BAR
            row |= {f"{ranks} GPUs": shared_s, f"speed-up of {ranks}": whole_s / shared_s}
            row["bar"] = f">= {bars.get(ranks, 5.0)}"
            row["bytes"] = "equal" if sampled.sha256[cell] == alone.sha256[cell] else "OTHER"
        rows.append(row)
    return rows


def worker_rows(by_ranks: dict[int, Sampled]) -> list[dict[str, Any]]:
    return [
        {
            "ranks": ranks,
            "ready s": sampled.ready_s,
            "proof": sampled.unproven or "equal",
            "most GiB by rank": ", ".join(f"{gib:.1f}" for gib in sampled.peak_gib),
            "killed rank found after s": "" if sampled.found_s is None else sampled.found_s,
            "closed after s": sampled.closed_s or "",
        }
        for ranks, sampled in by_ranks.items()
    ]


def _sampled(bench: Bench, settings: dict[str, Any], size: str, ranks: int) -> Sampled:
    """In a process of its own, whose first GPU is that of rank 0."""
    found, graphs = Sampled(), {}
    for cell in cells(bench, size):
        graphs[cell] = [_graph(settings, size, cell, steps) for steps in (FEW, MORE)]
    sizes = tuple(_pass_of(some[0]) for some in graphs.values())
    with _worker(bench, settings, ranks, sizes) as (worker, report):
        found.ready_s, found.unproven = report["setup_s"], report["unproven"]
        for cell, (few, more) in graphs.items():
            # The first one warms up kernels and memory.
            _sample(worker, few, 1)
            runs = [_sample(worker, few, 2), _sample(worker, more, 1)]
            found.step_s[cell] = (runs[1][0] - runs[0][0]) / (MORE - FEW)
            found.sha256[cell] = [sha256 for _, sha256 in runs]
            found.peak_gib = _peaks(worker)
            print(f"{ranks} ranks, {cell.name}, {cell.forwards}: {found.step_s[cell]:.3f} s", flush=True)
        if ranks > 1:
            found.found_s = _lose_a_rank(worker, more)
            start = time.monotonic()
            worker.destroy()
            found.closed_s = time.monotonic() - start
    return found


def _peaks(worker: StageWorker) -> list[float]:
    if worker._gang is not None:
        return [report.peak_gib for report in worker._gang.reports]
    from actors.gang.messages import report_here

    return [report_here(0, worker.config.device, "", "").peak_gib]


def _lose_a_rank(worker: StageWorker, graph: TaskGraph) -> float:
    """Seconds from the end of the last rank, in the middle of a step, to the error."""
    assert worker._gang is not None
    pid, killed_s = worker._gang.reports[-1].pid, [0.0]

    def kill() -> None:
        killed_s[0] = time.monotonic()
        os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(0.5, kill)
    timer.start()
    try:
        for attempt in range(3, 60):
            _sample(worker, graph, attempt)
    except WorkerLost:
        return time.monotonic() - killed_s[0]
    raise RuntimeError("a rank was killed, and nothing said so")


def _graph(settings: dict[str, Any], size: str, cell: Cell, steps: int) -> TaskGraph:
    from jobs.planning.plan import make_plan
    from jobs.spec.job import JobSpec
    from jobs.tasks.graph import build_graph

    video: dict[str, Any] = {"name": "one", "chunks": [{"generate": {"num_frames": cell.frames}}]}
    if size in PUBLISHED:
        video["sound"] = [{"generate": True}]
    defaults: dict[str, Any] = {"width": cell.width, "height": cell.height, "cfg": cell.cfg, "steps": steps}
    defaults |= {"sampler": "euler", "seed": 7, "prompt": WORDS * REPEATS}
    defaults |= {"guider": cell.guider} if cell.guider else {}
    document = {"version": 3, "name": "gang", "engine": settings, "defaults": defaults, "videos": [video]}
    return build_graph(make_plan(JobSpec.model_validate(document, strict=False), None))


def _pass_of(graph: TaskGraph) -> PassParams:
    from jobs.tasks.task import Stage

    return next(cast("PassParams", t.params) for t in graph.tasks.values() if t.stage is Stage.SAMPLE)


@contextmanager
def _worker(
    bench: Bench, settings: dict[str, Any], ranks: int, sizes: Sequence[PassParams]
) -> Iterator[tuple[StageWorker, dict[str, Any]]]:
    from actors.worker.order import WorkerConfig
    from actors.worker.worker import StageWorker
    from jobs.spec.engine import EngineConfig
    from jobs.store.store import Store
    from jobs.tasks.task import Stage

    engine = EngineConfig.model_validate(settings, strict=False)
    runs = str(bench.folder(f"runs{ranks}"))
    stages = frozenset({Stage.ENCODE, Stage.SAMPLE})
    config = WorkerConfig(engine, stages, bench.device, 2, runs, "gang", ranks=ranks, sizes=tuple(sizes))
    with Store.open(runs, "gang").lock():
        worker = StageWorker(config)
        try:
            yield worker, worker.setup()
        finally:
            worker.destroy()


def _sample(worker: StageWorker, graph: TaskGraph, attempt: int) -> tuple[float, str]:
    """Seconds of the chunk's sampling, and the SHA-256 of what came of it."""
    from actors.worker.order import TaskOrder
    from jobs.tasks.task import Stage

    done: dict[str, Any] = {}
    for task in graph.tasks.values():
        if task.stage not in worker.config.stages:
            continue
        inputs = {need.task: done[need.task].commit for need in task.needs}
        digest = hashlib.sha256(repr((task.id, task.params, attempt)).encode()).hexdigest()
        done[task.id] = worker.run(TaskOrder(task, digest, attempt, inputs))
        if task.stage is Stage.SAMPLE:
            return done[task.id].seconds, done[task.id].commit.sha256
    raise RuntimeError("the film has nothing to sample")

"""Two workers on one card: whether they make the same bytes of a film, side by side where memory allows."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES
from benchmarks.gpu.films import Film, graph_of, inputs_of, open_engine
from benchmarks.gpu.watch import GIB, wait

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

LONGEST_LOAD_S = 400.0
ROOM = 2.1
"""Two of them, and what lies between their tensors."""
_start: list[Any] = []
"""Of the second worker's process: where it waits for the first one."""


@dataclass(frozen=True, slots=True)
class Made:
    """SHA-256 of each task's arrays by task, and when the film was made on the monotonic clock."""

    hashes: Mapping[str, str]
    begin_s: float
    end_s: float


def compared(bench: Bench, film: Film, engine: Any, need_gib: float) -> tuple[list[dict[str, Any]], bool]:
    """Rows of what each task of the film is to the bytes of a second worker, which loads its own models; and
    whether both worked at the same time. Otherwise this engine is closed first.

    `need_gib` is what one of them needs of the card.
    """
    engine.free("cache")
    together = _has(bench, need_gib)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2) if together else None
    mine = None if together else made_by(bench, film, engine)
    if not together:
        engine.close()
    with ProcessPoolExecutor(1, context, initializer=_keep, initargs=(barrier,)) as pool:
        asked = pool.submit(_second, bench, film)
        if barrier is not None:
            barrier.wait(LONGEST_LOAD_S)
            mine = made_by(bench, film, engine)
        theirs = asked.result()
    assert mine is not None
    shared_s = min(mine.end_s, theirs.end_s) - max(mine.begin_s, theirs.begin_s)
    rows = [
        {
            "task": task,
            "equal": theirs.hashes[task] == digest,
            "SHA-256": digest[:16],
            "workers": f"together for {shared_s:.1f} s" if together else "one after the other",
        }
        for task, digest in mine.hashes.items()
    ]
    return rows, together


def made_by(bench: Bench, film: Film, engine: Any) -> Made:
    """The film's results but for its segments."""
    from actors.steps.run import run_stage

    graph = graph_of(bench, film, engine.modes()["attention_mode"])
    known: dict[str, Any] = {}
    begin_s = time.monotonic()
    for task in graph.tasks.values():
        if task.stage.value != "segment":
            known[task.id] = run_stage(task, inputs_of(task, known), engine, Path())
    wait(bench.device)
    end_s = time.monotonic()
    return Made({task: _digest(payload) for task, payload in known.items()}, begin_s, end_s)


def _digest(payload: Any) -> str:
    whole = hashlib.sha256()
    for name, array in sorted(payload.arrays.items()):
        whole.update(f"{name} {array.dtype} {array.shape}".encode())
        whole.update(memoryview(array).cast("B") if array.flags.c_contiguous else array.tobytes())
    return whole.hexdigest()


def _keep(barrier: Any) -> None:
    _start.append(barrier)


def _second(bench: Bench, film: Film) -> Made:
    (barrier,) = _start
    try:
        engine = open_engine(bench, film.engine, STAGES)
        if barrier is not None:
            barrier.wait(LONGEST_LOAD_S)
    except BaseException:
        if barrier is not None:
            barrier.abort()  # the first worker waits there
        raise
    return made_by(replace(bench, item=f"{bench.item}-second"), film, engine)


def _has(bench: Bench, need_gib: float) -> bool:
    """Whether the card holds two of them; a CPU does."""
    if not bench.device.startswith("cuda"):
        return True
    import torch

    return ROOM * need_gib <= torch.cuda.get_device_properties(0).total_memory / GIB

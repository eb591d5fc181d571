"""The farm: the clip's stages in this process, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.decode_items import STAGES
from benchmarks.gpu.film_item import distilled
from benchmarks.gpu.films import graph_of, inputs_of, open_engine
from benchmarks.gpu.peers.clip import Timed, clip_of, timed

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench


def run(bench: Bench, settings: Mapping[str, Any], repeats: int) -> Timed:
    """Frames and sound of one clip in host memory, as a worker has them before it encodes."""
    from actors.steps.run import run_stage

    film = distilled("clip", settings, clip_of(bench))
    engine = open_engine(bench, settings, STAGES)
    graph = graph_of(bench, film, engine.modes()["attention_mode"])

    def once(_: int) -> Any:
        known: dict[str, Any] = {}
        for task in graph.tasks.values():
            if task.stage.value != "segment":
                known[task.id] = run_stage(task, inputs_of(task, known), engine, Path())
        return known

    return timed(bench, once, repeats)

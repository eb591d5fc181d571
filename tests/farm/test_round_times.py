"""One film with temporal rounds on every GPU: behind its first pass nothing is a chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from cluster.local.cluster import LocalCluster, one_node
from farm.events import TaskCommitted, TaskStarted
from farm.scheduler.graph import scheduled
from farm.topology.bound import job_facts
from jobs.planning.params import PassParams
from jobs.planning.plan import make_plan
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, load

if TYPE_CHECKING:
    from farm.events import Event

GPUS, CHUNKS = 8, 40
SAMPLE_S, UPSCALE_S, DECODE_S, SEGMENT_S, ENCODE_S, CANVAS_S = 9.8, 12.3, 1.4, 1.0, 0.2, 0.05
"""Of LTXV 13B on one H200; of a segment for each of the four times as many frames."""


def film(folder: Path, held: bool) -> dict[str, Any]:
    """One shot of 49 frames and 48 more each; between held images, or in a chain of the first pass."""
    chunks: list[dict[str, Any]] = []
    for number in range(CHUNKS):
        own: dict[str, Any] = {"prompt": "a red boat"}
        if held and number + 1 < CHUNKS:
            path = folder / f"{number}.png"
            Image.new("RGB", (32, 32), (number, 90, 2 * number)).save(path)
            own["images"] = [{"image": str(path), "frame": -1, "hold": True}]
        chunks.append({"extend": own} if number else {"generate": own})
    return {
        "version": 3,
        "name": JOB,
        "engine": {"name": "fake"},
        "defaults": {
            "width": 32, "height": 32, "steps": 2, "seed": 5,
            "num_frames": 49, "num_new_frames": 48, "overlap_frames": 16,
        },
        "upscale": {"temporal": 4},
        "videos": [{"name": "take", "chunks": chunks}],
        "output": {"dir": str(folder / "out"), "preset": "ultrafast"},
    }  # fmt: skip


def seconds_of(task: StageTask) -> float:
    """A tile has 4 steps where the second pass has 3, and as many of its tokens as it has."""
    params = task.params
    if isinstance(params, CanvasParams):
        return CANVAS_S
    if isinstance(params, TileParams):
        return UPSCALE_S * 4 / 3 * params.tokens / (7 * 4)
    if isinstance(params, PassParams):
        return UPSCALE_S if params.upsampling else SAMPLE_S
    return {Stage.ENCODE: ENCODE_S, Stage.DECODE: DECODE_S, Stage.SEGMENT: 4 * SEGMENT_S}[task.stage]


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(False, id="chained first pass"),
        pytest.param(True, id="held images", marks=pytest.mark.long),
    ],
)
def test_one_film_of_40_chunks_with_rounds_keeps_8_gpus_busy(tmp_path: Path, held: bool) -> None:
    """Within 5 % of what no schedule can beat."""
    data, topology = film(tmp_path, held), f"mono={GPUS},segment=8"
    graph = build_graph(make_plan(load(data).spec))
    times = {name: seconds_of(task) for name, task in graph.tasks.items()}
    cluster = LocalCluster([one_node(GPUS, cpus=16)], lambda _, task: times[task])
    seen_s: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, TaskStarted | TaskCommitted):
            seen_s.append(cluster.clock.now_s)

    assert render(tmp_path / "runs", data, topology, cluster, meanwhile=watch).outcome == "done"
    facts = job_facts(scheduled(task, times[task.id]) for task in graph.tasks.values())
    bound_s = facts.bound(parse_topology(topology, Machine(GPUS))).seconds
    alone_s = sum(times[task.id] for task in graph.tasks.values() if task.stage is not Stage.SEGMENT)
    taken_s = seen_s[-1] - seen_s[0]
    print(f"8 GPUs {taken_s:.1f} s, bound {bound_s:.1f} s, one GPU {alone_s:.1f} s")
    assert taken_s <= 1.05 * bound_s
    assert alone_s >= 7.0 * taken_s

"""The farm: the clip's stages in this process, one after the other; and ten such clips through Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.bench import Clip
from benchmarks.gpu.decode_items import STAGES
from benchmarks.gpu.films import Film, graph_of, inputs_of, open_engine, render
from benchmarks.gpu.peers.clip import RATE, Timed, clip_of, timed
from benchmarks.gpu.ray_here import one_ray

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench
    from benchmarks.gpu.films import Rendered

CLIPS = 10


class Distilled(Film):
    """Clips at the distilled levels, each with its sound and a seed of its own."""

    def document(self, out: Path) -> dict[str, Any]:
        """The job spec."""
        document = super().document(out)
        levels = {"cfg": 1.0, "sampler": "euler"}
        document["defaults"] = document["defaults"] | levels | {"frame_rate": RATE, "sigmas": "distilled"}
        del document["defaults"]["steps"]
        document["upscale"] = levels
        for seed, video in enumerate(document["videos"]):
            (chunk,) = video["chunks"]
            video["chunks"] = [{"generate": chunk["generate"] | {"seed": seed}}]
        return document


def film_of(bench: Bench, settings: Mapping[str, Any], clips: int) -> Film:
    clip = clip_of(bench)
    base = Clip(clip.width // 2, clip.height // 2, clip.frames, 0, 0, steps=8, refine=3)
    return Distilled(f"clips{clips}", settings, base, videos=clips, extends=0, sound=True)


def run(bench: Bench, settings: Mapping[str, Any], repeats: int) -> Timed:
    """Frames and sound of one clip in host memory, as a worker has them before it encodes."""
    from actors.steps.run import run_stage

    film = film_of(bench, settings, 1)
    engine = open_engine(bench, settings, STAGES)
    graph = graph_of(bench, film, engine.modes()["attention_mode"])

    def once(_: int) -> Any:
        known: dict[str, Any] = {}
        for task in graph.tasks.values():
            if task.stage.value != "segment":
                known[task.id] = run_stage(task, inputs_of(task, known), engine, Path())
        return known

    return timed(bench, once, repeats)


def ten(bench: Bench, settings: Mapping[str, Any]) -> Rendered:
    """Ten clips through Ray on one worker, encoded as videos beside the work."""
    with one_ray():
        return render(bench, film_of(bench, settings, CLIPS), "mono")

"""Who renders the same job: the farm, a plain loop and N replicas. `ray_data` and `xenna` have their own.

Each contender runs in a process of its own and starts its workers for every job; a job begins when all of
them are ready. The farm commits everything and encodes segments on top; the others keep their results in
memory.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.contenders.steps_alone import Crew, StepsAlone, make_crew, stages_of
from benchmarks.timed_runs import Lap, Place, farm_lap
from benchmarks.workloads import GPUS, STAGED, Workload


def farm_staged(work: Workload, folder: Path) -> Lap:
    """This farm on the same pools as the other pipelines."""
    return farm_lap(work, STAGED, Place(folder))


def farm_auto(work: Workload, folder: Path) -> Lap:
    """This farm, free to arrange the GPUs."""
    return farm_lap(work, "auto", Place(folder))


def plain_loop(work: Workload, folder: Path) -> Lap:
    """One process renders chunk after chunk."""
    begun_s, crew = time.time(), make_crew(work, folder, 1)
    steps = StepsAlone(crew, stages_of(crew))
    first_s = steps.begin()
    for video in work.names():
        _render(steps, video)
    return Lap(first_s - begun_s, time.time() - first_s)


def monoliths(work: Workload, folder: Path) -> Lap:
    """One worker per GPU renders whole videos; the next video goes to whoever is free."""
    import ray
    from ray.util import ActorPool

    begun_s, crew = time.time(), make_crew(work, folder, GPUS)
    actor = ray.remote(num_gpus=1, num_cpus=0)(Monolith)
    actors = [actor.remote(crew) for _ in range(GPUS)]
    first_s = max(ray.get([each.begin.remote() for each in actors]))
    pool = ActorPool(actors)
    list(pool.map_unordered(lambda each, video: each.render.remote(video), work.names()))
    last_s = time.time()
    for each in actors:
        ray.kill(each)
    return Lap(first_s - begun_s, last_s - first_s)


class Monolith:
    """A worker that hosts every stage."""

    def __init__(self, crew: Crew) -> None:
        self.steps = StepsAlone(crew, stages_of(crew))

    def begin(self) -> float:
        return self.steps.begin()

    def render(self, video: str) -> None:
        _render(self.steps, video)


def _render(steps: StepsAlone, video: str) -> None:
    for chunk in range(steps.chunks(video)):
        for stage in stages_of(steps.crew):
            steps.run(stage, video, chunk)

"""Ray Data's way to render the same job: an actor pool per stage, one row per video.

Tuned for it: pools of a fixed size that are warm before the first row, batches of one row, a block for every
row (so that nothing waits for a larger block), four calls in flight for each actor (two and one were slower
on independent clips: 9.6 and 12.2 s against 8.8).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders.steps_alone import Crew, StepsAlone, make_crew, packed, stages_of, unpacked
from benchmarks.timed_runs import Lap
from benchmarks.workloads import GPUS, WORKERS, Workload
from jobs.tasks.task import Stage

ALL_CHUNKS = -1
IN_FLIGHT = 4


def ray_data_rows(work: Workload, folder: Path) -> Lap:
    """Ray Data, one row per video: a stage passes a video on when all its chunks are done."""
    return _ray_data(work, folder, RowStage)


def ray_data_streams(work: Workload, folder: Path) -> Lap:
    """Ray Data, one row per video whose sampler is a generator: each chunk is passed on at once."""
    return _ray_data(work, folder, StreamStage)


class RowStage:
    """One stage of whole videos."""

    def __init__(self, crew: Crew, stage: Stage) -> None:
        self.steps, self.stage = StepsAlone(crew, [stage]), stage

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        video, payloads = str(batch["video"][0]), unpacked(batch["payloads"][0])
        begun_s = min(float(batch["begun_s"][0]), self.steps.begin())
        self.steps.held |= payloads
        made: dict[str, Any] = {}
        for chunk in _chunks_of(batch, self.steps, video):
            made |= self.steps.run(self.stage, video, chunk)
        return _row(video, int(batch["chunk"][0]), begun_s, {} if self.stage is Stage.DECODE else made)


class StreamStage(RowStage):
    """The first stage yields chunks one by one; the others take one chunk a row."""

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        if self.stage is not Stage.SAMPLE:
            yield super().__call__(batch)
            return
        video, begun_s = str(batch["video"][0]), self.steps.begin()
        for chunk in range(self.steps.chunks(video)):
            yield _row(video, chunk, begun_s, self.steps.run(Stage.SAMPLE, video, chunk))


def _chunks_of(batch: dict[str, Any], steps: StepsAlone, video: str) -> range:
    chunk = int(batch["chunk"][0])
    return range(steps.chunks(video)) if chunk == ALL_CHUNKS else range(chunk, chunk + 1)


def _row(video: str, chunk: int, begun_s: float, payloads: dict[str, Any]) -> dict[str, Any]:
    return {"video": [video], "chunk": [chunk], "begun_s": [begun_s], "payloads": [packed(payloads)]}


def _ray_data(work: Workload, folder: Path, stage_class: type[RowStage]) -> Lap:
    import ray.data
    from ray.data import ActorPoolStrategy

    begun_s, crew = time.time(), make_crew(work, folder, GPUS)
    tune_ray_data()
    whole = (_row(video, ALL_CHUNKS, float("inf"), {}) for video in work.names())
    rows = [{name: column[0] for name, column in row.items()} for row in whole]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    for stage in stages_of(crew):
        pool = ActorPoolStrategy(size=WORKERS[stage], max_tasks_in_flight_per_actor=IN_FLIGHT)
        dataset = dataset.map_batches(
            stage_class,
            fn_constructor_args=(crew, stage),
            batch_size=1,
            batch_format="numpy",
            compute=pool,
            num_gpus=1,
            num_cpus=0,
        )
    begins = [float(row["begun_s"]) for row in dataset.iter_rows()]
    return Lap(min(begins) - begun_s, time.time() - min(begins))


def tune_ray_data() -> None:
    """Warm pools, a block for every row, no progress bars."""
    from ray.data import DataContext

    context = DataContext.get_current()
    context.wait_for_min_actors_s = 120
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False

"""cosmos-xenna's way to render the same job: a streaming pipeline of stages with a fixed number of workers.

Its stages ask for CPUs: it finds GPUs through NVIDIA's driver and knows no logical ones. A video is one
sample, as its stages hand samples on only when they are done with them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cosmos_xenna.pipelines import v1

from benchmarks.contenders.steps_alone import Crew, StepsAlone, make_crew, packed, stages_of, unpacked
from benchmarks.timed_runs import Lap
from benchmarks.workloads import GPUS, WORKERS, Workload
from jobs.tasks.task import Stage


class VideoStage(v1.Stage):  # type: ignore[misc]
    """One stage of whole videos: `(video, begun_s, payloads)` in and out."""

    def __init__(self, crew: Crew, stage: Stage) -> None:
        self.crew, self.stage = crew, stage
        self.steps: StepsAlone | None = None

    @property
    def required_resources(self) -> v1.Resources:
        return v1.Resources(cpus=1.0)

    def setup(self, worker_metadata: Any) -> None:
        self.steps = StepsAlone(self.crew, [self.stage])

    def process_data(self, in_data: list[Any]) -> list[Any]:
        return [self._video(*sample) for sample in in_data]

    def _video(self, video: str, begun_s: float, payloads: bytes) -> tuple[str, float, bytes]:
        assert self.steps is not None
        begun_s = min(begun_s, self.steps.begin())
        self.steps.held |= unpacked(payloads)
        made: dict[str, Any] = {}
        for chunk in range(self.steps.chunks(video)):
            made |= self.steps.run(self.stage, video, chunk)
        return video, begun_s, packed({} if self.stage is Stage.DECODE else made)


def xenna(work: Workload, folder: Path) -> Lap:
    """cosmos-xenna, one sample per video."""
    called_s, crew = time.time(), make_crew(work, folder, GPUS)
    stages = [v1.StageSpec(VideoStage(crew, stage), num_workers=WORKERS[stage]) for stage in stages_of(crew)]
    config = v1.PipelineConfig(execution_mode=v1.ExecutionMode.STREAMING, return_last_stage_outputs=True)
    samples = [(name, float("inf"), packed({})) for name in work.names()]
    done = v1.run_pipeline(v1.PipelineSpec(input_data=samples, stages=stages, config=config))
    if done is None or len(done) != len(samples):
        raise RuntimeError(f"the pipeline gave {done and len(done)} of {len(samples)} videos")
    begun_s = min(sample[1] for sample in done)
    return Lap(begun_s - called_s, time.time() - begun_s)

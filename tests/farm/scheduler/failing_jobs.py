"""Small jobs whose tasks and workers fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from farm.scheduler.commands import Assign
from farm.scheduler.graph import ScheduledTask
from farm.simulator.workload import SLEEPS, SimulatedFilm, StageTimes
from jobs.tasks.task import Stage

MakeDesk = Callable[..., Any]
SAMPLE = "v/00000/sample"


ALL = (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)


def one() -> list[ScheduledTask]:
    return [ScheduledTask(SAMPLE, Stage.SAMPLE, video="v")]


def chain(video: str, chunks: int, times: StageTimes = SLEEPS) -> list[ScheduledTask]:
    return list(SimulatedFilm(video, chunks, times).tasks())


def only_assign(told: Any) -> Assign:
    (order,) = told.of(Assign)
    return order

"""What a job has still to compute, as `auto` and its warnings take it."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.spec.engine import EngineConfig
from jobs.spec.run import Run
from jobs.tasks.task import StageTask


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """Stage tasks to compute, in plan order: every task of the job while its digests are unknown.

    `runs_url` is where stage times that earlier runs measured are kept.
    """

    engine: EngineConfig
    run: Run
    tasks: tuple[StageTask, ...]
    runs_url: str

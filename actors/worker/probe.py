"""A worker that measures stage steps instead of committing them: what `run.topology: auto` asks before it
decides.

A sampler's steps are equally long, so a few of them tell what all take. Results stay in the process, as
inputs of the next stage, and are worth nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from actors.engines.base import landed
from actors.failures import stage_errors
from actors.payload import Payload
from actors.steps.seeding import fix_threads
from actors.steps.timing import StepTimer
from actors.worker.kernel import with_kernel
from actors.worker.worker import StageWorker
from jobs.planning.params import PassParams
from jobs.planning.rounds.params import TileParams
from jobs.scratch import Scratch
from jobs.tasks.task import StageTask

LEAST_STEPS, MORE_STEPS = 2, 4
"""Steps of the two measured runs, whose difference is that of the steps alone. A single step would not do:
stretching a schedule of one to its last noise level divides by zero."""


@dataclass(frozen=True, slots=True)
class ProbeOrder:
    """A task to measure; what it needs was measured before."""

    task: StageTask


@dataclass(frozen=True, slots=True)
class Probed:
    """What the whole task would occupy the device, seconds."""

    task: str
    seconds: float


class ProbeWorker(StageWorker):
    """A stage worker whose `run` measures. It is handed one task after the other, needs first."""

    _held: dict[str, Payload]

    def setup(self) -> dict[str, Any]:
        self._held = {}
        return super().setup()

    def run(self, order: ProbeOrder, cached: Mapping[str, Payload] | None = None) -> Probed:  # type: ignore[override]
        """Measure the task; `cached` offers the payloads that other workers made. Raises `StageError`."""
        task = order.task
        with stage_errors(task.id):
            measure = partial(self._measure, self._resolved(task), self._inputs_of(task, cached or {}))
            return Probed(task.id, self._watched(lambda: self._device.run(measure)))

    def _measure(self, task: StageTask, inputs: Mapping[str, list[Payload]]) -> float:
        """Seconds of the whole task. The first run warms up: it compiles, and chooses what later ones use."""
        fix_threads(self.config.threads)
        steps = _steps(task)
        if steps <= MORE_STEPS:
            self._step(task, inputs)
            return self._step(task, inputs)
        least, more = _with_steps(task, LEAST_STEPS), _with_steps(task, MORE_STEPS)
        self._step(least, inputs)
        least_s, more_s = self._step(least, inputs), self._step(more, inputs)
        each_s = max(0.0, more_s - least_s) / (MORE_STEPS - LEAST_STEPS)
        return least_s + (steps - LEAST_STEPS) * each_s

    def payload(self, task: str) -> Payload | None:
        """What the task made, for workers that host the next stage."""
        return self._held.get(task)

    def _resolved(self, task: StageTask) -> StageTask:
        """The task with this device's attention kernel, where the spec leaves the choice."""
        params = task.params
        if not isinstance(params, PassParams | TileParams):
            return task
        return replace(task, params=with_kernel(params, self._ready()))

    def _inputs_of(self, task: StageTask, cached: Mapping[str, Payload]) -> dict[str, list[Payload]]:
        inputs: dict[str, list[Payload]] = {}
        for need in task.needs:
            held = self._held.get(need.task) or cached[need.task]
            inputs.setdefault(need.role, []).append(held)
        return inputs

    def _step(self, task: StageTask, inputs: Mapping[str, list[Payload]]) -> float:
        """One run of the stage step; how long it occupied the device, seconds."""
        with Scratch() as scratch:
            timer = StepTimer(self.config.device)
            made, _ = self._begin(task, inputs, scratch, ())
            timer.stop()
            result, seconds = landed(made), timer.seconds()
        if isinstance(result, Payload):
            self._held[task.id] = result
        return seconds


def _steps(task: StageTask) -> int:
    """The sampler's steps; 0 for a task without, or whose noise levels are given one by one."""
    if isinstance(task.params, PassParams) and task.params.sampling.sigmas is None:
        return task.params.sampling.steps
    return 0


def _with_steps(task: StageTask, steps: int) -> StageTask:
    assert isinstance(task.params, PassParams)
    sampling = replace(task.params.sampling, steps=steps)
    return replace(task, params=replace(task.params, sampling=sampling))

"""What a simulated run looked like: bars of a Gantt chart, utilisation, the critical path, cost."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.scheduler.graph import STAGES, ScheduleGraph
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.tasks.topology import Topology

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class SimulatedTask:
    """One task on one worker, seconds since the start, `[start_s, stop_s)`."""

    worker: str
    task: str
    stage: Stage
    start_s: float
    stop_s: float


class SimulatedTimeline:
    """Filled by a simulation, then read. Failed attempts leave no bar. `changes` counts how often a worker
    that held a model loaded another, which took `changing_s` of the workers' time."""

    def __init__(self, graph: ScheduleGraph, topology: Topology, workers: list[str]) -> None:
        self.graph = graph
        self.topology = topology
        self.workers = workers
        self.makespan_s = 0.0
        self.changes = 0
        self.changing_s = 0.0
        self._worker = array("i")
        self._task = array("i")
        self._start = array("d")
        self._stop = array("d")

    def add(self, worker: int, task: int, start_s: float, stop_s: float) -> None:
        """A task that succeeded."""
        self._worker.append(worker)
        self._task.append(task)
        self._start.append(start_s)
        self._stop.append(stop_s)

    def change(self, seconds: float) -> None:
        """A worker loads another model, which takes `seconds`."""
        self.changes += seconds > 0
        self.changing_s += seconds

    def finish(self, now_s: float) -> None:
        """The scheduler's last word."""
        self.makespan_s = now_s

    def bars(self) -> Iterator[SimulatedTask]:
        """All bars, in order of their start."""
        return (self._bar(at) for at in sorted(range(len(self._task)), key=self._start.__getitem__))

    def busy_s(self) -> dict[str, float]:
        """Seconds of work by worker."""
        busy = [0.0] * len(self.workers)
        for worker, start_s, stop_s in zip(self._worker, self._start, self._stop, strict=True):
            busy[worker] += stop_s - start_s
        return dict(zip(self.workers, busy, strict=True))

    def utilisation(self) -> dict[str, float]:
        """Share of the makespan that each worker worked."""
        return {worker: busy / (self.makespan_s or 1.0) for worker, busy in self.busy_s().items()}

    @property
    def gpu_hours(self) -> float:
        """GPUs held times makespan, idle ones included."""
        return self.topology.gpus * self.makespan_s / _HOUR_S

    def cost(self, gpu_hour_cost: float) -> float:
        """In the currency of `gpu_hour_cost`."""
        return self.gpu_hours * gpu_hour_cost

    def _bar(self, at: int) -> SimulatedTask:
        task = self._task[at]
        return SimulatedTask(
            self.workers[self._worker[at]],
            self.graph.ids[task],
            STAGES[self.graph.stage[task]],
            self._start[at],
            self._stop[at],
        )

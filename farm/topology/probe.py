"""The probe before `run.topology: auto` decides: stage times of a model and size never rendered here before.

One worker of each kind loads its models and runs the first steps of a few tasks. Nothing is committed: what
was measured goes beside the runs, where every later plan finds it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.estimates.durations import Durations, Hardware, keep_durations, read_durations
from farm.estimates.known import expected_s
from farm.events import Notice
from jobs.tasks.task import Stage, StageTask, TaskGraph
from jobs.tasks.topology import Topology

if TYPE_CHECKING:
    from cluster.pool.pool import WorkerPool
    from farm.workers.workforce import Workforce

PROBED = (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)
"""The stages whose times decide; encode is short, and segments never use a GPU."""

MOST_TASKS = 24
LEAST_SHARE = 2
"""A probe takes at most one in this many of a job's tasks: more would do the job rather than measure it."""

WAIT_S = 1.0


def tasks_to_probe(
    graph: TaskGraph, remaining: Sequence[StageTask], known: Durations, place: Hardware
) -> list[StageTask]:
    """What to run, needs first: for each stage a task of the size that has most of its work, where that size
    was never measured there.

    Empty where all is known (the fake engine's settings are its times), and for a job of few chunks. A later
    stage whose task needs too many others is left out.
    """
    if place.engine.name == "fake":
        return []
    wanted = [found for stage in PROBED if (found := _largest(remaining, stage, place)) is not None]
    unknown = [task.id for task in wanted if not known.knows(place, task)]
    needed = _with_needs(graph, unknown)
    while len(needed) > MOST_TASKS:
        unknown.pop()
        needed = _with_needs(graph, unknown)
    return [] if LEAST_SHARE * len(needed) > len(remaining) else needed


def _largest(tasks: Sequence[StageTask], stage: Stage, place: Hardware) -> StageTask | None:
    """The first task of the size that has most of the stage's work on a device."""
    seconds = expected_s(place.engine)
    sizes: dict[float, list[StageTask]] = defaultdict(list)
    for task in tasks:
        if task.stage is stage and not task.without:
            sizes[round(seconds(task), 6)].append(task)
    heaviest = max(sizes, key=lambda size: size * len(sizes[size]), default=None)
    return None if heaviest is None else sizes[heaviest][0]


def _with_needs(graph: TaskGraph, roots: Sequence[str]) -> list[StageTask]:
    """These tasks and all that they need, needs first."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting and len(found) <= MOST_TASKS:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [need.task for need in graph.tasks[name].needs]
    return [task for name, task in graph.tasks.items() if name in found]


def one_of_each(topology: Topology) -> Topology:
    """One worker for every pool that hosts models: the fewest on which everything still fits."""
    return Topology(tuple(replace(pool, count=1) for pool in topology.pools if pool.gpus))


class DurationProbe:
    """Measures `tasks` one after the other on a pool of `ProbeWorker`s. `run` yields notices.

    A probe that fails costs an estimate, never a render: the render itself meets the cause, and tells it.
    """

    def __init__(self, tasks: Sequence[StageTask], pool: WorkerPool, workforce: Workforce) -> None:
        self.tasks, self.pool, self.workforce = list(tasks), pool, workforce
        self.seconds: dict[str, float] = {}
        self.failure = ""
        self.stopped_by = ""

    def stop(self, signal_name: str) -> None:
        """End at the next turn; for signal handlers."""
        self.stopped_by = signal_name
        self.pool.wake()

    def run(self) -> Iterator[Notice]:
        """Hands out the tasks; ends when all are measured, one failed, or `stop` was called."""
        from cluster.pool.events import Done, Failed, Lost, Ready, Waiting

        ready: set[str] = set()
        handed: set[str] = set()
        while not (self.failure or self.stopped_by or len(self.seconds) == len(self.tasks)):
            for event in self.pool.wait(WAIT_S):
                match event:
                    case Waiting():
                        yield Notice(event.message)
                    case Ready():
                        ready.add(event.worker)
                    case Done():
                        self.seconds[event.result.task] = event.result.seconds
                    case Failed() | Lost():
                        self.failure = event.failure.message
            self._hand_out(ready, handed)

    def _hand_out(self, ready: set[str], handed: set[str]) -> None:
        """The next task, when the one before it is measured: beside another it would take longer."""
        from actors.worker.probe import ProbeOrder
        from cluster.pool.events import TaskCall

        task = next((task for task in self.tasks if task.id not in self.seconds), None)
        if task is None or task.id in handed:
            return
        for worker in sorted(self.workforce.hosts(task.stage) & ready):
            handed.add(task.id)
            uses = tuple(dict.fromkeys(need.task for need in task.needs))
            share = task.stage is not Stage.DECODE
            self.pool.submit(worker, TaskCall(task.id, ProbeOrder(task), uses, share, task.bytes_estimate))
            return


def keep(probe: DurationProbe, place: Hardware, runs_url: str) -> None:
    """Puts what was measured beside the runs."""
    known = read_durations(runs_url)
    for task in probe.tasks:
        if task.id in probe.seconds:
            known.observe_step(place, task, probe.seconds[task.id])
    keep_durations(runs_url, known)


def summary(probe: DurationProbe) -> str:
    """What came of it, in one line."""
    if probe.failure:
        return f"the probe failed, stage times stay estimates: {probe.failure}"
    slowest = {
        stage: max((probe.seconds[task.id] for task in probe.tasks if task.stage is stage), default=None)
        for stage in PROBED
    }
    times = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in slowest.items() if seconds is not None)
    return f"measured: {times}"

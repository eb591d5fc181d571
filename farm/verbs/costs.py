"""What is left to render, or would be again, counted and in time: said before anybody agrees to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from farm.events import TaskCommitted
from farm.session.selection import to_compute
from farm.state.event_log import EventLog
from farm.state.progress import STAGES, split_task
from jobs.tasks.duplicates import find_duplicates
from jobs.wording import amount, clock

if TYPE_CHECKING:
    from farm.verbs.run import JobDocuments


@dataclass(frozen=True, slots=True)
class Work:
    """Tasks by stage, and the `seconds` that one worker takes for them at the job's own measured times: None
    where one of the stages was never measured."""

    stages: Mapping[str, int]
    seconds: float | None

    @property
    def tasks(self) -> int:
        """All of them."""
        return sum(self.stages.values())

    def __str__(self) -> str:
        if not self.tasks:
            return "no task"
        each = ", ".join(f"{count} {stage}" for stage, count in self.stages.items())
        time = "of unknown length" if self.seconds is None else f"about {clock(self.seconds)} of one worker"
        return f"{amount(self.tasks, 'task')} ({each}), {time}"


def work_of(run: JobDocuments, tasks: Iterable[str]) -> Work:
    """What these tasks take; what several share is made once."""
    once = {run.digests.get(task, task): task for task in tasks}
    counts = Counter(split_task(task)[2] for task in once.values())
    means = _means(run)
    known = all(stage in means for stage in counts)
    seconds = sum(count * means[stage] for stage, count in counts.items()) if known else None
    return Work({stage: counts[stage] for stage in STAGES if counts[stage]}, seconds)


def tasks_left(run: JobDocuments) -> list[str]:
    """What a resume would compute, in plan order: nothing that waits for an approval. Raises UsageError for a
    job without a plan."""
    if not run.digests or set(run.digests) != set(run.graph.tasks):
        return list(run.graph.tasks)
    store = run.store
    left = to_compute(run.graph, run.digests, store.committed_digests(), store.evicted_digests())
    return find_duplicates(run.digests).without([task for task in left if task not in run.held])


def _means(run: JobDocuments) -> dict[str, float]:
    """Seconds of one task of each stage, as the job took them; results that were only shared took none."""
    seconds = defaultdict(list)
    for logged in EventLog(run.store):
        if isinstance(logged.event, TaskCommitted) and logged.event.seconds:
            seconds[split_task(logged.event.task)[2]].append(logged.event.seconds)
    return {stage: fmean(each) for stage, each in seconds.items()}

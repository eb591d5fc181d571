"""What `run` says reaches the scheduler."""

from __future__ import annotations

import pytest

from farm.scheduler import events
from farm.scheduler.commands import Assign, Command, Kill, Quarantine
from farm.scheduler.config import scheduler_config
from farm.scheduler.core import Scheduler
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from jobs.spec.run import Run
from jobs.tasks.task import Stage


def scheduler(**run: object) -> Scheduler:
    graph = ScheduleGraph([ScheduledTask("v/00000/sample", Stage.SAMPLE, video="v", duration_s=4.0)])
    return Scheduler(graph, scheduler_config(Run.model_validate(run)))


def start(made: Scheduler) -> None:
    for worker in ("a", "b", "c"):
        made.handle(events.WorkerLoaded(worker, frozenset({Stage.SAMPLE}), "host"), 0.0)


def kinds(commands: list[Command]) -> set[type]:
    return {type(command) for command in commands}


def test_an_explicit_deadline_counts_from_the_first_task_on() -> None:
    made = scheduler(deadlines={"sample": 7.0})
    start(made)
    made.handle(events.Tick(), made.next_wake_s())
    assert made.next_wake_s() == pytest.approx(7.0)
    assert Kill in kinds(made.handle(events.Tick(), 7.0))


def test_a_deadline_of_another_stage_changes_nothing() -> None:
    made = scheduler(deadlines={"decode": 7.0, "first_s": 100.0})
    start(made)
    made.handle(events.Tick(), made.next_wake_s())
    assert made.next_wake_s() == pytest.approx(100.0)


@pytest.mark.parametrize("losses", [1, 2])
def test_a_task_outlives_so_many_workers_as_the_spec_allows(losses: int) -> None:
    made = scheduler(max_losses=losses)
    start(made)
    for number in range(losses):
        worker = next(worker for worker in made.board.roster.workers if worker.held)
        last = made.handle(events.WorkerDied(worker.id, "its node died"), float(number))
        assert (Quarantine in kinds(last)) is (number == losses - 1)
        assert (Assign in kinds(last)) is (number < losses - 1)


def test_the_payload_budget_is_in_gibibytes() -> None:
    assert scheduler_config(Run(payload_budget_gib=1.5)).budget_bytes == 3 << 29
    assert scheduler_config(Run()).budget_bytes is None

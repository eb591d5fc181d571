"""Workers that are lost: their tasks go on elsewhere, they rest, are probed and forgiven."""

from __future__ import annotations

import pytest

from farm.scheduler import events
from farm.scheduler.commands import Assign, Finish, Outcome, Probe, Quarantine, Suspend
from farm.scheduler.config import RestConfig
from farm.scheduler.graph import ScheduledTask
from farm.simulator.workload import StageTimes
from jobs.errors import FailureKind
from jobs.tasks.task import Stage
from tests.farm.scheduler.failing_jobs import ALL, SAMPLE, MakeDesk, chain, one


def test_a_lost_worker_costs_no_attempt_and_its_task_goes_on_elsewhere(desk: MakeDesk) -> None:
    told = desk(one(), max_attempts=1)
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    for _ in range(4):
        lost = told.running[SAMPLE].worker
        told.tell(events.WorkerDied(lost, "killed"), after=1.0)
        if not told.of(Assign):
            told.worker("a" if lost == "b" else "b", *ALL)
        told.worker(lost, *ALL)
    assert not told.of(Quarantine)
    assert told.done(SAMPLE)
    assert told.of(Finish)[0].outcome is Outcome.DONE


def test_five_lost_workers_end_a_task(desk: MakeDesk) -> None:
    told = desk(one())
    for number in range(6):
        told.worker(f"w{number}", *ALL)
    for _ in range(5):
        told.tell(events.WorkerDied(told.running[SAMPLE].worker, "killed"), after=1.0)
    assert told.of(Quarantine)[0].task == SAMPLE


def test_what_was_queued_behind_a_lost_task_bears_no_failure(desk: MakeDesk) -> None:
    told = desk([ScheduledTask(f"d{n}", Stage.DECODE, video=f"v{n}") for n in range(2)], max_losses=1)
    told.worker("a", Stage.DECODE)
    assert len(told.running) == 2
    told.tell(events.WorkerDied("a", "killed"))
    assert [order.task for order in told.of(Quarantine)] == ["d0"]


def test_the_task_that_a_worker_died_of_bears_the_failure(desk: MakeDesk) -> None:
    told = desk([ScheduledTask(f"d{n}", Stage.DECODE, video=f"v{n}") for n in range(2)], max_losses=1)
    told.worker("a", Stage.DECODE)
    told.tell(events.WorkerDied("a", "its device is lost", "d1"))
    assert [order.task for order in told.of(Quarantine)] == ["d1"]


def test_a_worker_that_its_node_ended_for_memory_gets_nothing_and_its_task_climbs(desk: MakeDesk) -> None:
    told = desk([ScheduledTask(f"d{n}", Stage.DECODE, video=f"v{n}") for n in range(2)])
    told.worker("a", Stage.DECODE)
    told.tell(events.WorkerDied("a", "the node ran out of memory", "d1", FailureKind.OOM))
    assert told.of(Assign) == []
    told.worker("a", Stage.DECODE)
    assert {task: order.ladder for task, order in told.running.items()} == {"d0": (), "d1": ("empty_cache",)}


def test_a_worker_that_a_task_took_down_for_memory_does_not_get_it_back(desk: MakeDesk) -> None:
    told = desk(
        [ScheduledTask(name, Stage.DECODE, video=name) for name in "de"],
        rest=RestConfig(base_s=1.0, most_s=1.0),
        depth=1,
    )
    told.worker("a", Stage.DECODE)
    for loss in range(4):
        if loss == 3:
            told.worker("b", Stage.DECODE)
        told.tell(events.WorkerDied("a", "the node ran out of memory", "d", FailureKind.OOM))
        told.tell(events.Tick(), after=2.0)
        told.worker("a", Stage.DECODE)
    assert {task: order.worker for task, order in told.running.items()} == {"e": "b"}
    told.done("e")
    assert told.assigned() == [("d", "b")]
    assert told.running["d"].ladder[-1] == "other_worker"


def test_a_lost_worker_rests_is_probed_and_forgiven(desk: MakeDesk) -> None:
    told = desk(chain("v", 30), rest=RestConfig(base_s=4.0, most_s=60.0, forgive_s=500.0))
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    told.tell(events.WorkerDied("b", "killed"))
    assert told.of(Suspend)[0].until_s == told.now + 4.0
    told.worker("b", *ALL)
    assert not told.of(Assign), "a resting worker is believed only after its probe"
    told.tell(events.Tick(), after=4.0)
    assert told.of(Probe)[0].worker == "b"
    told.worker("b", *ALL)
    told.tell(events.WorkerDied("b", "killed"))
    assert told.of(Suspend)[0].until_s == told.now + 8.0
    told.tell(events.Tick(), after=8.0)
    told.worker("b", *ALL)
    told.tell(events.WorkerDied("b", "killed"), after=600.0)
    assert told.of(Suspend)[0].until_s == told.now + 4.0, "forgiven"


@pytest.mark.parametrize("stages", [{Stage.ENCODE}, {Stage.SAMPLE}, {Stage.ENCODE, *ALL}])
def test_the_last_worker_of_a_stage_is_probed_at_once_and_never_suspended(
    desk: MakeDesk, stages: set[Stage]
) -> None:
    told = desk(chain("v", 3, StageTimes(1.0, 0.0, 1.0, encode_s=1.0)))
    told.worker("a", *stages)
    if others := {Stage.ENCODE, *ALL} - stages:
        told.worker("b", *others)
    told.tell(events.WorkerDied("a", "killed"))
    assert told.of(Suspend) == []
    assert [probe.worker for probe in told.of(Probe)] == ["a"]
    assert str(told.of(Probe)[0].reason) in {f"nobody else can serve {stage} now" for stage in stages}
    told.tell(events.WorkerDied("a", "killed"))
    assert told.of(Suspend) == []
    told.tell(events.Tick(), after=RestConfig().base_s)
    assert [probe.worker for probe in told.of(Probe)] == ["a"]


def test_a_resting_worker_is_called_back_when_it_becomes_the_last(desk: MakeDesk) -> None:
    told = desk(chain("v", 9), rest=RestConfig(streak=1, base_s=100.0))
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    told.failed(SAMPLE, FailureKind.BAD_OUTPUT, output_digest="1")
    (resting,) = told.of(Suspend)
    other = "a" if resting.worker == "b" else "b"
    told.tell(events.WorkerDied(other, "killed"), after=1.0)
    (probe,) = [probe for probe in told.of(Probe) if probe.worker == resting.worker]
    assert "nobody else can serve" in str(probe.reason)


def test_a_streak_of_failures_suspends_a_living_worker_but_not_the_last(desk: MakeDesk) -> None:
    tasks = [ScheduledTask(f"v{n}/00000/sample", Stage.SAMPLE, video=f"v{n}") for n in range(9)]
    for workers, suspended in ((2, 1), (1, 0)):
        told = desk(tasks, rest=RestConfig(streak=3))
        for number in range(workers):
            told.worker(f"w{number}", *ALL)
        found = 0
        for _ in range(3):
            mine = next(task for task, order in told.running.items() if order.worker == "w0")
            told.failed(mine, FailureKind.BAD_OUTPUT, output_digest=mine)
            for order in told.of(Suspend):
                found += 1
                assert order.until_s == told.now + RestConfig().base_s
                assert str(order.reason).startswith("3 failures in a row, the last one bad_output")
        assert found == suspended


def test_a_worker_that_never_comes_back_ends_the_job_by_name(desk: MakeDesk) -> None:
    told = desk(chain("v", 1), rest=RestConfig(base_s=1.0, retire_after=3))
    told.worker("s", Stage.SAMPLE, Stage.UPSCALE)
    told.worker("d", Stage.DECODE)
    for _ in range(3):
        told.tell(events.WorkerDied("d", "its node is gone"))
        told.tell(events.Tick(), after=1.0)
    told.done(SAMPLE)
    told.done("v/00000/upscale")
    finish = told.of(Finish)[0]
    assert finish.outcome is Outcome.FAILED
    assert "decode" in str(finish.reason)


def test_a_probe_without_an_answer_counts_as_a_loss(desk: MakeDesk) -> None:
    told = desk(chain("v", 1), rest=RestConfig(base_s=1.0, probe_s=30.0, retire_after=2))
    told.worker("a", *ALL)
    told.tell(events.WorkerDied("a", "killed"))
    told.tell(events.Tick(), after=30.0)
    assert told.of(Finish)[0].outcome is Outcome.FAILED

"""Every row of the failure table, and what becomes of workers that fail."""

from __future__ import annotations

import pytest

from farm.scheduler import events
from farm.scheduler.commands import Assign, Finish, Kill, Outcome, PauseJob, Quarantine
from farm.scheduler.config import HangConfig
from farm.scheduler.graph import ScheduledTask
from jobs.errors import FailureKind
from jobs.tasks.task import Stage
from tests.farm.scheduler.failing_jobs import ALL, SAMPLE, MakeDesk, chain, one, only_assign


def test_invalid_is_never_retried(desk: MakeDesk) -> None:
    told = desk(one())
    told.worker("a", *ALL)
    told.failed(SAMPLE, FailureKind.INVALID, message="a file is missing")
    assert told.of(Quarantine)[0].task == SAMPLE
    assert told.of(Finish)[0].outcome is Outcome.FAILED


def test_oom_climbs_the_ladder_byte_preserving_rungs_first(desk: MakeDesk) -> None:
    told = desk([ScheduledTask("d", Stage.DECODE, video="v")])
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    ladders = []
    while not told.of(Finish):
        ladders.append(told.running["d"].ladder)
        told.failed("d", FailureKind.OOM)
    assert ladders[0] == ()
    assert ladders[1:4] == [
        ("empty_cache",),
        ("empty_cache", "evict_residents"),
        ("empty_cache", "evict_residents", "offload"),
    ]
    assert ladders[-1][-1] == "tile_decode"
    assert "every rung" in str(told.of(Quarantine)[0].reason)


def test_oom_goes_to_another_worker_before_anything_that_changes_bytes(desk: MakeDesk) -> None:
    told = desk([ScheduledTask("d", Stage.DECODE, video="v")])
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    first = told.running["d"].worker
    for _ in range(4):
        told.failed("d", FailureKind.OOM)
    assert told.running["d"].ladder[-1] == "other_worker"
    assert told.running["d"].worker != first


def test_a_hang_kills_the_worker_and_consumes_an_attempt(desk: MakeDesk) -> None:
    told = desk(one(), max_attempts=2, hang=HangConfig(factor=2.0, floor_s=10.0, first_s=50.0))
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    told.tell(events.Tick(), after=1.0)
    assert told.scheduler.next_wake_s() == 50.0
    told.tell(events.Tick(), after=48.0)
    assert not told.of(Kill)
    first = told.running[SAMPLE].worker
    told.tell(events.Tick(), after=1.0)
    assert told.of(Kill)[0].worker == first
    assert "deadline" in str(told.of(Kill)[0].reason)
    assert only_assign(told).worker != first
    told.tell(events.Tick(), after=1.0)
    assert told.scheduler.next_wake_s() == pytest.approx(50.0 + 100.0)
    told.tell(events.Tick(), after=99.0)
    assert told.of(Quarantine)[0].task == SAMPLE


def test_deadlines_follow_what_tasks_take(desk: MakeDesk) -> None:
    told = desk(chain("v", 9), hang=HangConfig(factor=3.0, floor_s=1.0, first_s=1000.0))
    told.worker("s", Stage.SAMPLE)
    for chunk in range(6):
        told.done(f"v/{chunk:05d}/sample", after=20.0)
    assert told.scheduler.board.roster.by_id["s"].deadline_s == pytest.approx(told.now + 60.0, rel=0.05)


def test_what_reads_files_says_nothing_of_what_models_decode(desk: MakeDesk) -> None:
    """Kept parts come first and take little: the decode of a retake has the deadline of a first one."""
    names = [f"v/{n:05d}/decode" for n in range(6)]
    kept = [
        ScheduledTask(name, Stage.DECODE, video="v", chunk=n, without="model") for n, name in enumerate(names)
    ]
    made = ScheduledTask("v/00006/decode", Stage.DECODE, (kept[-1].id,), "v", 6)
    told = desk([*kept, made], hang=HangConfig(factor=3.0, floor_s=1.0, first_s=1000.0))
    told.worker("d", Stage.DECODE)
    for task in kept:
        told.done(task.id, after=0.1)
    assert told.scheduler.board.roster.by_id["d"].deadline_s == pytest.approx(told.now + 1000.0)


def test_a_result_after_the_kill_changes_nothing(desk: MakeDesk) -> None:
    told = desk(one(), hang=HangConfig(first_s=50.0, floor_s=1.0))
    told.worker("a", *ALL)
    zombie = told.running[SAMPLE]
    told.tell(events.Tick(), after=50.0)
    assert told.tell(events.TaskDone(SAMPLE, "a", zombie.attempt)) == []
    told.worker("a", *ALL)
    assert only_assign(told).attempt == zombie.attempt + 1
    assert told.tell(events.TaskDone(SAMPLE, "a", zombie.attempt)) == []
    told.done(SAMPLE)
    assert told.of(Finish)[0].outcome is Outcome.DONE
    assert told.tell(events.TaskDone(SAMPLE, "a", zombie.attempt + 1)) == []


def test_bad_output_goes_to_another_worker_and_waits_for_it(desk: MakeDesk) -> None:
    told = desk([*one(), ScheduledTask("w/00000/sample", Stage.SAMPLE, video="w")])
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    first = told.running[SAMPLE].worker
    told.failed(SAMPLE, FailureKind.BAD_OUTPUT, output_digest="1")
    assert told.of(Assign) == []
    told.done("w/00000/sample")
    assert only_assign(told).task == SAMPLE
    assert only_assign(told).worker != first
    assert "bad_output" in str(only_assign(told).reason)


def test_bad_output_stays_where_nobody_else_can(desk: MakeDesk) -> None:
    told = desk(one())
    told.worker("a", *ALL)
    told.failed(SAMPLE, FailureKind.BAD_OUTPUT, output_digest="1")
    assert only_assign(told).worker == "a"


def test_the_same_bad_bytes_twice_end_the_task(desk: MakeDesk) -> None:
    told = desk(one(), max_attempts=9)
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    told.failed(SAMPLE, FailureKind.BAD_OUTPUT, output_digest="1")
    told.failed(SAMPLE, FailureKind.BAD_OUTPUT, output_digest="1")
    assert "same bytes" in str(told.of(Quarantine)[0].reason)


def test_bad_outputs_of_which_no_bytes_are_known_are_not_the_same(desk: MakeDesk) -> None:
    told = desk(one(), max_attempts=9)
    told.worker("a", *ALL)
    for _ in range(2):
        told.failed(SAMPLE, FailureKind.BAD_OUTPUT)
    assert told.assigned() == [(SAMPLE, "a")]


def test_storage_pauses_the_job_with_its_cause_and_resumes(desk: MakeDesk) -> None:
    told = desk([*one(), ScheduledTask("w/00000/sample", Stage.SAMPLE, video="w")])
    told.worker("a", *ALL)
    told.failed(SAMPLE, FailureKind.STORAGE, message="/runs is full, 3 GB needed")
    assert "/runs is full, 3 GB needed" in str(told.of(PauseJob)[0].reason)
    assert told.of(Assign) == []
    told.worker("b", *ALL)
    assert told.of(Assign) == []
    told.tell(events.Resume())
    assert {task for task, _ in told.assigned()} == {SAMPLE, "w/00000/sample"}


def test_a_corrupt_input_is_rendered_again_before_its_reader(desk: MakeDesk) -> None:
    told = desk(chain("v", 1))
    told.worker("a", *ALL)
    told.done(SAMPLE)
    told.failed("v/00000/upscale", FailureKind.STORAGE, lost_inputs=(SAMPLE,))
    assert told.assigned() == [(SAMPLE, "a")]
    assert only_assign(told).attempt == 2
    told.done(SAMPLE)
    assert [task for task, _ in told.assigned()] == ["v/00000/upscale"]
    told.done("v/00000/upscale")
    told.done("v/00000/decode")
    assert told.of(Finish)[0].outcome is Outcome.DONE
    assert str(told.of(Finish)[0].reason) == "all 3 tasks are committed"


def test_a_lost_input_stops_its_other_readers_that_have_not_begun(desk: MakeDesk) -> None:
    told = desk(chain("v", 2))
    told.worker("a", Stage.UPSCALE)
    told.worker("b", Stage.SAMPLE)
    told.done(SAMPLE)
    told.failed("v/00000/upscale", FailureKind.STORAGE, lost_inputs=(SAMPLE,))
    told.failed("v/00001/sample", FailureKind.BUG)
    assert told.assigned() == [(SAMPLE, "b")]


def test_a_bug_is_retried_once_elsewhere_then_its_chain_is_quarantined(desk: MakeDesk) -> None:
    told = desk([*chain("v", 2), *chain("w", 1)])
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    first = told.running[SAMPLE].worker
    told.failed(SAMPLE, FailureKind.BUG)
    while SAMPLE not in told.running:
        told.done(next(task for task in told.running if task.startswith("w/")))
    assert told.running[SAMPLE].worker != first
    told.failed(SAMPLE, FailureKind.BUG)
    assert [order.task for order in told.of(Quarantine)] == [SAMPLE]


def test_other_chains_finish_and_the_job_is_partial(desk: MakeDesk) -> None:
    told = desk([*chain("v", 2), *chain("w", 1)])
    told.worker("a", *ALL)
    told.failed(SAMPLE, FailureKind.INVALID)
    for stage in ("sample", "upscale", "decode"):
        told.done(f"w/00000/{stage}")
    finish = told.of(Finish)[0]
    assert finish.outcome is Outcome.PARTIAL
    assert str(finish.reason) == "3 tasks are committed; 1 are quarantined, and 5 that need them did not run"


def test_what_is_quarantined_is_no_work_left(desk: MakeDesk) -> None:
    told = desk([*chain("v", 9), ScheduledTask("w", Stage.SAMPLE, video="w", duration_s=4.0)])
    told.worker("a", *ALL)
    told.failed(SAMPLE, FailureKind.INVALID)
    assert told.scheduler.rest_s() == pytest.approx(4.0)


def test_a_paused_job_gets_nothing_new(desk: MakeDesk) -> None:
    told = desk(chain("v", 2))
    told.worker("a", *ALL)
    told.tell(events.Pause())
    told.done(SAMPLE)
    assert told.of(Assign) == []
    told.tell(events.Resume())
    assert told.of(Assign)


def test_nothing_left_to_do_finishes_with_the_first_event(desk: MakeDesk) -> None:
    tasks = chain("v", 1)
    told = desk(tasks, committed=[task.id for task in tasks])
    told.worker("a", *ALL)
    assert told.of(Finish)[0].outcome is Outcome.DONE


def test_a_resumed_job_runs_only_what_is_missing(desk: MakeDesk) -> None:
    told = desk(chain("v", 2), committed=[SAMPLE, "v/00000/upscale"])
    told.worker("a", *ALL)
    told.worker("b", *ALL)
    assert {task for task, _ in told.assigned()} | set(told.running) == {"v/00000/decode", "v/00001/sample"}


def test_messages_about_the_unknown_are_ignored(desk: MakeDesk) -> None:
    told = desk(one())
    assert told.tell(events.WorkerDied("nobody", "?")) == []
    assert told.tell(events.TaskDone("nothing", "nobody", 1)) == []
    assert told.tell(events.AttemptFailed("nothing", "nobody", 1, FailureKind.BUG)) == []

"""`farm why`: every state a task can have, and the way out of each outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.events import Event, LostAttempt, TaskStarted, WorkerGone, to_record
from farm.state.job_state import CANCELLED, FAILED, PARTIAL, PAUSED, PAUSED_BY_USER, RUNNING, FailedTask
from farm.verbs.why import AFTER_FAILURES, TaskState, why_job, why_task
from jobs.errors import UsageError
from jobs.store.store import Store

if TYPE_CHECKING:
    from tests.farm.verbs.conftest import MadeRun


def test_a_committed_task_tells_who_made_it(made: MadeRun) -> None:
    made.store.append_event(
        {"event": "task_started", "at_s": 1.0, "task": "dawn/00001/sample", "worker": "w1", "attempt": 1,
         "reason": "the longest remaining path"}
    )  # fmt: skip
    story = why_task(made.runs, "harbor", "dawn/1/sample")
    assert (story.task, story.state) == ("dawn/00001/sample", TaskState.COMMITTED)
    assert story.provenance["exact"] is True
    assert [step.what for step in story.steps] == ["attempt 1 on w1: the longest remaining path"]


def test_evicted_frames_are_not_missing(made: MadeRun) -> None:
    assert why_task(made.runs, "harbor", "dawn/0/decode").state is TaskState.EVICTED


def test_a_waiting_task_names_its_inputs(made: MadeRun) -> None:
    made.lose("dawn/00001/sample", "dawn/00002/sample")
    story = why_task(made.runs, "harbor", "dawn/2/sample")
    assert (story.state, story.waits_for) == (TaskState.WAITING, ("dawn/00001/sample",))
    assert why_task(made.runs, "harbor", "dawn/1/sample").state is TaskState.READY


def test_a_failed_task_and_what_it_blocks(made: MadeRun) -> None:
    chain = [f"dawn/{chunk:05d}/{stage}" for chunk in (1, 2) for stage in ("sample", "decode", "segment")]
    made.lose(*chain)
    black = "dawn/00001/sample: all frames are black"
    failure = FailedTask("dawn/00001/sample", "bad_output", black)
    made.write(outcome=PARTIAL, failed=(failure,))
    made.store.append_event(
        {"event": "task_failed", "at_s": 2.0, "task": failure.task, "worker": "w0", "attempt": 3,
         "kind": "bad_output", "message": black, "then": "quarantine"}
    )  # fmt: skip
    story = why_task(made.runs, "harbor", "dawn/1/sample")
    assert story.state is TaskState.FAILED
    assert story.summary == "quarantined, bad_output: all frames are black"
    assert "bad_output: all frames are black -> quarantine" in story.steps[0].what
    blocked = why_task(made.runs, "harbor", "dawn/2/segment")
    assert (blocked.state, blocked.waits_for) == (TaskState.BLOCKED, ("dawn/00001/sample",))
    job = why_job(made.runs, "harbor")
    retry = f"farm retry harbor --state failed --runs {made.runs}"
    assert (job.blocked, job.next_step) == (
        5,
        AFTER_FAILURES.format(retry=retry, resume=f"farm resume harbor --runs {made.runs}"),
    )


def test_a_running_task_names_its_worker(made: MadeRun) -> None:
    made.lose("noon/00000/segment")
    made.write(outcome=RUNNING)
    with made.store.lock():
        made.store.append_event(
            {"event": "task_started", "at_s": 1.0, "task": "noon/00000/segment", "worker": "w1"}
        )
        story = why_task(made.runs, "harbor", "noon/0/segment")
    assert (story.state, story.summary) == (TaskState.RUNNING, "in work on w1")


def test_a_task_that_is_queued_says_behind_what_and_every_loss_of_its_worker(made: MadeRun) -> None:
    made.lose("noon/00000/segment", "dawn/00002/segment")
    made.write(outcome=RUNNING)
    mine, other = "noon/00000/segment", "dawn/00002/segment"
    log: list[Event] = [
        TaskStarted(other, "w1", 1, ""),
        TaskStarted(mine, "w1", 1, ""),
        WorkerGone("w1", "its node died", (LostAttempt(other, 1), LostAttempt(mine, 1))),
        TaskStarted(other, "w2", 2, ""),
        TaskStarted(mine, "w2", 2, ""),
    ]
    with made.store.lock():
        for at_s, event in enumerate(log):
            made.store.append_event(to_record(event, float(at_s)))
        story = why_task(made.runs, "harbor", "noon/0/segment")
    assert (story.state, story.summary) == (TaskState.RUNNING, f"handed to w2, behind {other}")
    assert "w1 is gone, and this with it: its node died" in [step.what for step in story.steps]
    assert len(story.steps) == 3


def test_a_task_whose_worker_is_gone_is_not_in_work(made: MadeRun) -> None:
    made.lose("noon/00000/segment")
    made.write(outcome=RUNNING)
    with made.store.lock():
        for event in (TaskStarted("noon/00000/segment", "w1", 1, ""), WorkerGone("w1", "its node died")):
            made.store.append_event(to_record(event, 1.0))
        story = why_task(made.runs, "harbor", "noon/0/segment")
    assert story.state is not TaskState.RUNNING
    assert len(story.steps) == 2


def test_what_is_invalid_is_mended_in_the_spec(made: MadeRun) -> None:
    """The run's own copy of the spec, which `farm resume` reads, would fail again."""
    failure = FailedTask("dawn/00001/sample", "invalid", "no such guider")
    made.write(outcome=PARTIAL, failed=(failure,))
    step = why_job(made.runs, "harbor").next_step
    assert step.startswith("correct the spec")
    assert f"`farm render SPEC --runs {made.runs}`" in step
    assert "resume" not in step


def test_the_spec_of_a_job_with_a_name_of_its_own_is_rendered_into_it(made: MadeRun, tmp_path: Path) -> None:
    (tmp_path / "runs" / "harbor").rename(tmp_path / "runs" / "again")
    made.store = Store.open(made.runs, "again")
    made.write(outcome=FAILED, failed=(FailedTask("dawn/00001/sample", "invalid", "x"),))
    assert f"`farm render SPEC --job-id again --runs {made.runs}`" in why_job(made.runs, "again").next_step


def test_commands_name_the_runs_directory_only_where_it_is_not_the_usual_one(
    made: MadeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.write(outcome=CANCELLED)
    monkeypatch.chdir(tmp_path)
    assert why_job("runs", "harbor").next_step == "`farm resume harbor` continues it"
    (tmp_path / "runs").rename(tmp_path / "my runs")
    assert why_job("my runs", "harbor").next_step == "`farm resume harbor --runs 'my runs'` continues it"


def test_a_pause_that_the_user_asked_for_has_no_cause_to_remove(made: MadeRun) -> None:
    made.write(outcome=PAUSED, reason=PAUSED_BY_USER)
    assert why_job(made.runs, "harbor").next_step.endswith("continues it")
    made.write(reason="the disk is full")
    assert why_job(made.runs, "harbor").next_step.startswith("remove the cause")


def test_what_an_earlier_run_stumbled_over_is_not_told_again(made: MadeRun) -> None:
    made.store.append_event({"event": "notice", "at_s": 1.0, "message": "a film could not be delivered"})
    Store.open(made.runs, "harbor").append_event({"event": "notice", "at_s": 2.0, "message": "now it could"})
    assert [step.what for step in why_job(made.runs, "harbor").notices] == ["now it could"]


def test_notices_are_part_of_the_story(made: MadeRun) -> None:
    for number in range(12):
        made.store.append_event({"event": "notice", "at_s": float(number), "message": f"wait {number}"})
    made.write(outcome=FAILED, reason="no worker is left")
    job = why_job(made.runs, "harbor")
    assert [step.what for step in job.notices] == [f"wait {number}" for number in range(2, 12)]
    assert job.reason == "no worker is left"


@pytest.mark.parametrize("task", ["dawn/9/sample", "dusk/0/sample", "dawn/0/blend", "encode/text-00"])
def test_an_unknown_task_names_the_nearest(made: MadeRun, task: str) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        why_task(made.runs, "harbor", task)


@pytest.mark.parametrize("task", ["dawn", "qqq", "zzz/9/foo"])
def test_a_task_that_is_like_none_names_some_that_there_are(made: MadeRun, task: str) -> None:
    with pytest.raises(UsageError, match=r"write dawn/00000/sample, .* or another one"):
        why_task(made.runs, "harbor", task)


def test_a_job_without_ray_is_taken_up_without_it(made: MadeRun) -> None:
    made.write(outcome=PAUSED, topology="serial", reason="no space")
    job = why_job(made.runs, "harbor")
    assert f"farm resume harbor --serial --runs {made.runs}" in job.next_step
    assert job.next_step.endswith(f"`farm render SPEC --serial --runs {made.runs}`")
    made.write(outcome=PAUSED, topology="mono=1", reason="no space")
    assert "--serial" not in why_job(made.runs, "harbor").next_step


def test_a_state_that_cannot_be_read_is_not_rendered_again_unasked(made: MadeRun) -> None:
    made.store.backend.replace("state.json", b"{")
    story = why_job(made.runs, "harbor")
    assert story.outcome == "unknown"
    assert story.next_step.startswith(f"restore the file, or `farm resume harbor --runs {made.runs}`")


def test_an_unknown_job_is_an_error(made: MadeRun) -> None:
    with pytest.raises(UsageError):
        why_job(made.runs, "haven")

"""`farm why`: every standing a task can have, and the way out of each outcome."""

from __future__ import annotations

import pytest

from farm.state import FAILED, PARTIAL, RUNNING, FailedTask
from farm.verbs.why import AFTER_FAILURES, Standing, why_job, why_task
from jobs.errors import UsageError


def test_a_committed_task_tells_who_made_it(made) -> None:
    made.store.append_event(
        {"event": "task_started", "at_s": 1.0, "task": "dawn/00001/sample", "worker": "w1", "attempt": 1,
         "reason": "the longest remaining path"}
    )  # fmt: skip
    story = why_task(made.runs, "harbor", "dawn/1/sample")
    assert (story.task, story.standing) == ("dawn/00001/sample", Standing.COMMITTED)
    assert story.provenance["exact"] is True
    assert [step.what for step in story.steps] == ["attempt 1 on w1: the longest remaining path"]


def test_frames_that_were_given_up_are_not_missing(made) -> None:
    assert why_task(made.runs, "harbor", "dawn/0/decode").standing is Standing.GIVEN_UP_AFTER_USE


def test_a_waiting_task_names_its_inputs(made) -> None:
    made.lose("dawn/00001/sample", "dawn/00002/sample")
    story = why_task(made.runs, "harbor", "dawn/2/sample")
    assert (story.standing, story.waits_for) == (Standing.WAITING, ("dawn/00001/sample",))
    assert why_task(made.runs, "harbor", "dawn/1/sample").standing is Standing.READY


def test_a_failed_task_and_what_it_blocks(made) -> None:
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
    assert story.standing is Standing.FAILED
    assert story.summary == "given up, bad_output: all frames are black"
    assert "bad_output: all frames are black -> quarantine" in story.steps[0].what
    blocked = why_task(made.runs, "harbor", "dawn/2/segment")
    assert (blocked.standing, blocked.waits_for) == (Standing.BLOCKED, ("dawn/00001/sample",))
    job = why_job(made.runs, "harbor")
    assert (job.blocked, job.next_step) == (5, AFTER_FAILURES.format(job="harbor"))


def test_a_running_task_names_its_worker(made) -> None:
    made.lose("noon/00000/segment")
    made.write(outcome=RUNNING)
    with made.store.lock():
        made.store.append_event(
            {"event": "task_started", "at_s": 1.0, "task": "noon/00000/segment", "worker": "w1"}
        )
        story = why_task(made.runs, "harbor", "noon/0/segment")
    assert (story.standing, story.summary) == (Standing.RUNNING, "in work on w1")


def test_notices_are_part_of_the_story(made) -> None:
    for number in range(12):
        made.store.append_event({"event": "notice", "at_s": float(number), "message": f"wait {number}"})
    made.write(outcome=FAILED, reason="no worker is left")
    job = why_job(made.runs, "harbor")
    assert [step.what for step in job.notices] == [f"wait {number}" for number in range(2, 12)]
    assert job.reason == "no worker is left"


@pytest.mark.parametrize("task", ["dawn/9/sample", "dusk/0/sample", "dawn/0/blend", "dawn", "encode/text-00"])
def test_an_unknown_task_names_the_nearest(made, task: str) -> None:
    with pytest.raises(UsageError, match="did you mean"):
        why_task(made.runs, "harbor", task)


def test_an_unknown_job_is_an_error(made) -> None:
    with pytest.raises(UsageError):
        why_job(made.runs, "haven")

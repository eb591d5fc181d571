"""`farm status` over run directories in every condition."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from farm.events import Event, TaskCommitted, TaskStarted, TaskSuperseded, to_record
from farm.state.job_state import DONE, INTERRUPTED, PAUSED, RUNNING, FailedTask
from farm.verbs.status import job_status
from jobs.errors import UsageError
from jobs.store.documents import STATE, UserRequest
from jobs.store.lock import Driver

if TYPE_CHECKING:
    from tests.farm.verbs.conftest import MadeRun


def test_a_finished_job(made: MadeRun) -> None:
    status = job_status(made.runs, "harbor")
    assert (status.outcome, status.driver.driver) == (DONE, Driver.NONE)
    assert all(stage.committed == stage.total for stage in status.stages)
    assert {stage.stage for stage in status.stages} == {"encode", "sample", "decode", "segment"}
    assert [(video.name, video.segments, video.committed, video.present) for video in status.videos] == [
        ("dawn", 3, 3, True),
        ("noon", 1, 1, True),
    ]
    assert asdict(status)["run_dir"].endswith("runs/harbor")


def test_a_film_that_was_deleted_is_not_present(made: MadeRun) -> None:
    made.film("noon").unlink()
    assert [video.present for video in job_status(made.runs, "harbor").videos] == [True, False]


def test_a_job_that_is_being_rendered(made: MadeRun) -> None:
    made.lose("dawn/00002/segment", "dawn/00002/decode")
    made.write(outcome=RUNNING)
    with made.store.lock():
        made.store.append_event(
            {"event": "task_started", "at_s": 5.0, "task": "dawn/00002/decode", "worker": "w0", "attempt": 1}
        )
        status = job_status(made.runs, "harbor")
    assert status.outcome == RUNNING
    assert [(busy.task, busy.worker, busy.since_s) for busy in status.busy] == [
        ("dawn/00002/decode", "w0", 5.0)
    ]
    stages = {stage.stage: (stage.committed, stage.total) for stage in status.stages}
    assert stages["decode"] == stages["segment"] == (3, 4)


def test_a_driver_that_died_left_its_job_interrupted(made: MadeRun) -> None:
    made.write(outcome=RUNNING)
    status = job_status(made.runs, "harbor")
    assert status.outcome == INTERRUPTED
    assert "farm resume" in status.reason


def test_a_paused_job_says_what_it_waits_for(made: MadeRun) -> None:
    made.store.request(UserRequest.PAUSE)
    made.write(outcome=PAUSED, reason="the disk is full", failed=(FailedTask("x", "bug", "boom"),))
    status = job_status(made.runs, "harbor")
    assert (status.outcome, status.reason, status.requests) == (PAUSED, "the disk is full", ("pause",))
    assert status.failed[0].message == "boom"


@pytest.mark.parametrize(
    ("damage", "fault"),
    [(b"", "it is torn"), (b"{", "it is torn"), (b'{"outcome": "done"}', "does not match its checksum")],
)
def test_a_torn_state_is_never_done(made: MadeRun, damage: bytes, fault: str) -> None:
    made.store.backend.replace(STATE, damage)
    status = job_status(made.runs, "harbor")
    assert status.outcome == "unknown"
    assert f"{made.store.url}/state.json: " in status.reason
    assert fault in status.reason
    assert f"`farm resume harbor --runs {made.runs}`" in status.reason
    assert status.videos[0].committed == 3


def test_a_missing_state_is_written_by_the_next_render(made: MadeRun) -> None:
    made.store.backend.delete(STATE)
    status = job_status(made.runs, "harbor")
    assert status.outcome == "unknown"
    assert "farm render SPEC" in status.reason


def test_all_that_a_worker_holds_is_named(made: MadeRun) -> None:
    """What it runs, and what is queued behind that; what another attempt made superfluous is not held."""
    started, committed = TaskStarted, TaskCommitted
    log: list[Event] = [
        started("dawn/00000/decode", "w0", 1, ""),
        started("dawn/00001/decode", "w0", 1, ""),
        started("noon/00000/decode", "w1", 1, ""),
        committed("dawn/00000/decode", "w0", 1, 1.0, 10),
        started("dawn/00002/decode", "w0", 2, ""),
        TaskSuperseded("noon/00000/decode", "w1", 1),
    ]
    with made.store.lock():
        for at_s, event in enumerate(log):
            made.store.append_event(to_record(event, float(at_s)))
        status = job_status(made.runs, "harbor")
    assert [(busy.task, busy.worker, busy.attempt, busy.since_s, busy.queued) for busy in status.busy] == [
        ("dawn/00001/decode", "w0", 1, 3.0, False),
        ("dawn/00002/decode", "w0", 2, 4.0, True),
    ]


def test_a_damaged_line_of_the_log_is_named_and_passed_over(made: MadeRun) -> None:
    with made.store.lock():
        made.store.append_event({})
        made.store.append_event(to_record(TaskStarted("dawn/00002/decode", "w0", 1, ""), 5.0))
        made.store.append_event({"event": "from_the_future", "at_s": 6.0})
        status = job_status(made.runs, "harbor")
    assert [busy.task for busy in status.busy] == ["dawn/00002/decode"]
    first, second = status.warnings
    assert "line 1: event: is missing; passed over" in first
    assert "events/" in first
    assert "line 3: this version knows no event 'from_the_future'" in second


@pytest.mark.parametrize("job", ["harbour", "", "../harbor", "done"])
def test_an_unknown_job_is_an_error(made: MadeRun, job: str) -> None:
    with pytest.raises(UsageError):
        job_status(made.runs, job)

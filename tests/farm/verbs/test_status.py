"""`farm status` over run directories in every condition."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from farm.state import DONE, INTERRUPTED, PAUSED, RUNNING, FailedTask
from farm.verbs.status import job_status
from jobs.errors import UsageError
from jobs.store import STATE, Driver, Request


def test_a_finished_job(made) -> None:
    status = job_status(made.runs, "harbor")
    assert (status.outcome, status.driver.driver) == (DONE, Driver.NONE)
    assert all(stage.committed == stage.total for stage in status.stages)
    assert {stage.stage for stage in status.stages} == {"encode", "sample", "decode", "segment"}
    assert [(video.name, video.segments, video.committed, video.present) for video in status.videos] == [
        ("dawn", 3, 3, True),
        ("noon", 1, 1, True),
    ]
    assert asdict(status)["run_dir"].endswith("runs/harbor")


def test_a_film_that_was_deleted_is_not_present(made) -> None:
    Path(made.state.film("noon").path).unlink()
    assert [video.present for video in job_status(made.runs, "harbor").videos] == [True, False]


def test_a_job_that_is_being_rendered(made) -> None:
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


def test_a_driver_that_died_left_its_job_interrupted(made) -> None:
    made.write(outcome=RUNNING)
    status = job_status(made.runs, "harbor")
    assert status.outcome == INTERRUPTED
    assert "farm resume" in status.reason


def test_a_paused_job_says_what_it_waits_for(made) -> None:
    made.store.request(Request.PAUSE)
    made.write(outcome=PAUSED, reason="the disk is full", failed=(FailedTask("x", "bug", "boom"),))
    status = job_status(made.runs, "harbor")
    assert (status.outcome, status.reason, status.requests) == (PAUSED, "the disk is full", ("pause",))
    assert status.failed[0].message == "boom"


@pytest.mark.parametrize("damage", [b"", b"{", b'{"outcome": "done"}'])
def test_a_torn_state_is_never_done(made, damage: bytes) -> None:
    made.store.backend.replace(STATE, damage)
    status = job_status(made.runs, "harbor")
    assert status.outcome == "unknown"
    assert "farm render SPEC" in status.reason
    assert status.videos[0].committed == 3


@pytest.mark.parametrize("job", ["harbour", "", "../harbor", "done"])
def test_an_unknown_job_is_an_error(made, job: str) -> None:
    with pytest.raises(UsageError):
        job_status(made.runs, job)

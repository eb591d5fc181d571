"""A job that has a driver and no worker yet is `waiting`, and says for whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.failures import CallFailure
from cluster.inventory import WorkerRequest
from cluster.pool.events import Lost, Placed, Waiting
from cluster.pool.shell import Placement
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.state.job_state import INTERRUPTED, RUNNING, WAITING, read_state
from farm.verbs.listing import list_runs
from farm.verbs.status import job_status
from farm.verbs.why import why_job
from farm.workers.waiting import RoomWatch
from jobs.errors import FailureKind
from jobs.loading.load import load_spec
from tests.farm.cli.conftest import Farm, document

REQUESTS = [
    WorkerRequest("mono-0", gpus=1.0),
    WorkerRequest("mono-1", gpus=1.0),
    WorkerRequest("segment-0", cpus=1.0),
]
PLACED = Placed("mono-0", Placement("mono-0", 1, "node", "here", 0, (), None, "cpu"))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[JobSession]:
    with JobSession(load_spec(document(tmp_path / "out")), Scope(str(tmp_path / "runs"))) as session:
        list(session.begin())
        yield session


def test_it_says_what_for_how_long_and_who_has_it(session: JobSession, farm: Farm) -> None:
    runs = session.scope.runs_url
    watch = RoomWatch(session, REQUESTS)
    assert job_status(runs, "harbor").reason.startswith("for 2 GPUs for 2 workers, 0:0")
    watch.take(Waiting("mono-0", "waiting", "0 GPU, 3 CPU", {"dusk": 4.0}))
    status = job_status(runs, "harbor")
    assert (status.outcome, status.waiting and status.waiting.holders) == (WAITING, {"dusk": 4.0})
    assert "job dusk holds 4 GPUs; free: 0 GPU, 3 CPU" in status.reason
    assert [(row.outcome, row.committed, row.total) for row in list_runs(runs)] == [(WAITING, 0, 14)]
    story = why_job(runs, "harbor")
    assert (story.outcome, "dusk" in story.reason) == (WAITING, True)
    assert f"`farm cancel harbor --runs {runs}`" in story.next_step
    for command in (("list",), ("status", "harbor"), ("why", "harbor")):
        out = farm(*command, "--runs", runs).out
        assert "waiting" in out
        assert "so far; job dusk holds 4 GPUs" in out


def test_the_first_worker_ends_it_and_the_loss_of_the_last_begins_it_anew(session: JobSession) -> None:
    watch = RoomWatch(session, REQUESTS)
    watch.take(replace(PLACED, worker="segment-0"))
    assert job_status(session.scope.runs_url, "harbor").outcome == WAITING, "nothing can be sampled"
    watch.take(PLACED)
    assert job_status(session.scope.runs_url, "harbor").outcome == RUNNING, "it has a GPU"
    more = Waiting("mono-1", "waiting", "0 GPU, 1 CPU")
    watch.take(more)
    assert job_status(session.scope.runs_url, "harbor").outcome == RUNNING
    watch.take(Lost("mono-0", (), CallFailure(FailureKind.WORKER_LOST, "its node died", worker_gone=True)))
    watch.take(more)
    assert job_status(session.scope.runs_url, "harbor").outcome == WAITING


def test_a_driver_that_ends_waits_for_nothing(session: JobSession) -> None:
    RoomWatch(session, REQUESTS)
    list(session.finish(INTERRUPTED, "stopped"))
    state: Any = read_state(session.store)
    assert (state.outcome, state.waiting) == (INTERRUPTED, None)

"""Gangs on a cluster that is made up: their films, what is shown of them, and a rank that is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.gang.gang import Gang
from farm.cli.status import lines
from farm.events import Event, TaskCommitted, TaskStarted, WorkerGone, WorkerReady
from farm.state.event_lines import event_line
from farm.verbs.status import JobStatus, job_status
from farm.workers.workforce import _sizes
from jobs.errors import CannotRun
from jobs.planning.params import PassParams
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from tests.farm.execution.local_render import render
from tests.jobs.planning.test_retakes import FACTS, retake, spec_of
from tests.ray.kit.specs import JOB, document

GANGS = "sample=2x2,upscale=1,decode=1,segment=1"


def test_passes_that_hold_something_else_are_proven_apart() -> None:
    parts = [retake(60, 70), retake(120, 130, picture=False), retake(180, 190)]
    graph = build_graph(make_plan(spec_of(*parts, sound=[{"generate": True}]), FACTS))
    made = [run.retake.picture for run in _sizes(graph) if isinstance(run, PassParams) and run.retake]
    assert made == [True, False]


def test_films_are_those_of_one_process(tmp_path: Path, serial_films: Callable[..., dict[str, str]]) -> None:
    seen: list[JobStatus] = []

    def look(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.task.endswith("/decode") and not seen:
            seen.append(job_status(str(tmp_path / "runs"), JOB))

    data = document(tmp_path / "out", videos=2, count=2)
    rendered = render(tmp_path / "runs", data, GANGS, meanwhile=look)
    assert rendered.films == serial_films(videos=2, count=2)
    ready = {event.worker: event for event in rendered.of(WorkerReady)}
    ranks = ready["encode+sample-0"].ranks
    assert [rank.rank for rank in ranks] == [0, 1]
    assert len({rank.pid for rank in ranks}) == 2
    assert min(rank.peak_gib for rank in ranks) > 0
    assert not ready["upscale-0"].ranks
    assert "a gang of 2 (rank 0 on cpu" in str(event_line(ready["encode+sample-0"]))
    assert {gang.worker for gang in seen[0].gangs} == {"encode+sample-0", "encode+sample-1"}
    assert any("encode+sample-1 is a gang of 2 (rank 0 on cpu" in line for line in lines(seen[0], 0.0))


def test_a_rank_that_is_killed_is_a_worker_lost(
    tmp_path: Path, serial_films: Callable[..., dict[str, str]]
) -> None:
    pids: dict[str, int] = {}
    killed: list[str] = []

    def kill(event: Event) -> None:
        if isinstance(event, WorkerReady) and event.ranks:
            pids[event.worker] = event.ranks[1].pid
        if isinstance(event, TaskStarted) and event.task.endswith("00001/sample") and not killed:
            killed.append(event.task)
            os.kill(pids[event.worker], signal.SIGKILL)

    data = document(tmp_path / "out", videos=1, count=3)
    rendered = render(tmp_path / "runs", data, GANGS.replace("2x2", "1x2"), meanwhile=kill)
    assert rendered.outcome == "done"
    (gone,) = rendered.of(WorkerGone)
    assert "rank 1 of 2" in gone.reason
    assert "SIGKILL" in gone.reason
    assert [lost.task for lost in gone.lost] == killed
    assert [event.task for event in rendered.of(TaskCommitted)].count(killed[0]) == 1
    assert rendered.films == serial_films(videos=1, count=3)


def test_a_gang_without_its_proof_serves_where_the_job_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gang, "prove", lambda *_: "2 ranks make other bits than one")
    data = document(tmp_path / "out", videos=1, count=2)
    with pytest.raises(CannotRun, match=r"other bits than one\. .*mixed_compute: true"):
        render(tmp_path / "runs", data, "mono=1x2")
    data["run"] = {"mixed_compute": True}
    rendered = render(tmp_path / "other", data, "mono=1x2")
    assert rendered.outcome == "done"
    assert rendered.events[-1].state["exact"] is False  # type: ignore[attr-defined]

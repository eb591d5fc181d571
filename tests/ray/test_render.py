"""Whole renders on one Ray, with the fake engine: equal films, events, hand-over and waits."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cluster.session import Session
from farm.estimates.durations import read_durations
from farm.events import (
    Event,
    FilmDelivered,
    JobPlanned,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    WorkerPlaced,
    WorkerReady,
)
from farm.state.job_state import JobState
from jobs.errors import CapacityError, StoreUnusable
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.specs import JOB, document, render, render_alone

TOPOLOGIES = [
    pytest.param("mono=1", marks=pytest.mark.slow),
    "mono=2",
    pytest.param("sample=1,upscale=1,decode=1,segment=1", marks=pytest.mark.slow),
    "sample=2,upscale=1,decode=1,segment=1",
    "sample=1,upscale+decode=1,segment=1",
    "mono=2@0.5",
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", document(folder / "out", videos=3, count=6)).films


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_films_are_those_of_the_serial_reference(
    ray_session: Session, tmp_path: Path, reference: dict[str, str], topology: str
) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out", videos=3, count=6), topology)
    assert rendered.outcome == "done"
    assert rendered.films == reference
    assert len(reference) == 3


def test_events_in_their_order(ray_session: Session, tmp_path: Path) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out"), "sample=1,upscale=1,decode=1,segment=1")
    (planned,) = rendered.of(JobPlanned)
    committed = [event.task for event in rendered.of(TaskCommitted)]
    assert len(committed) == planned.tasks
    assert {event.worker for event in rendered.of(WorkerPlaced)} == {
        event.worker for event in rendered.of(WorkerReady)
    }
    started = [event.task for event in rendered.of(TaskStarted)]
    assert sorted(started) == sorted(committed)
    assert all(event.reason for event in rendered.of(TaskStarted))
    chain = [task for task in committed if task.startswith("take0") and task.endswith("sample")]
    assert chain == sorted(chain)
    films = [event for event in rendered.of(FilmDelivered) if not event.preview]
    assert [event.frames for event in films] == [65, 65]


def test_equal_tasks_of_films_are_computed_once(ray_session: Session, tmp_path: Path) -> None:
    """Four films of a matrix differ in their last chunk alone."""
    data = document(tmp_path / "out", videos=1, count=4)
    data["videos"][0]["chunks"][-1]["extend"]["prompt"] = "it ends {mood}"
    data["matrix"] = {"mood": ["calm", "wild", "odd", "late"]}
    rendered = render(tmp_path / "runs", data, "sample=2,upscale=1,decode=1,segment=1")
    assert (rendered.outcome, len(rendered.films)) == ("done", 4)
    assert not rendered.of(TaskFailed)
    started = [event.task for event in rendered.of(TaskStarted)]
    assert len(started) == len(set(started))
    assert sum(task.endswith("/sample") for task in started) == 3 + 4
    alone = {**data, "output": {"dir": str(tmp_path / "films of alone")}}
    assert rendered.films == render_alone(tmp_path / "alone", alone).films


def test_second_render_starts_no_worker(ray_session: Session, tmp_path: Path) -> None:
    data = document(tmp_path / "out")
    first = render(tmp_path / "runs", data, "mono=1")
    again = render(tmp_path / "runs", data, "sample=1,upscale=1,decode=1,segment=1")
    assert again.of(TaskStarted) == []
    assert again.of(WorkerPlaced) == []
    assert again.films == first.films


def test_first_film_leaves_while_others_render(ray_session: Session, tmp_path: Path) -> None:
    data = document(tmp_path / "out", videos=3, count=2, sample_s=0.4)
    rendered = render(tmp_path / "runs", data, "mono=1")
    kinds = [type(event).__name__ for event in rendered.events]
    assert kinds.index("FilmDelivered") < len(kinds) - 1 - kinds[::-1].index("TaskCommitted")


def test_ready_task_is_not_blocked_behind_an_unready_one(ray_session: Session, tmp_path: Path) -> None:
    """One chain's chunks wait for each other; the other chain's ready chunk goes in between, as soon as both
    samplers are there."""
    data = document(tmp_path / "out", videos=2, count=2, sample_s=0.6)
    rendered = render(tmp_path / "runs", data, "sample=2,upscale=1,decode=1,segment=1")
    events = rendered.events
    both = max(at for at, event in enumerate(events) if _ready(event, "sample"))
    commits = [at for at, event in enumerate(events) if _samples(event) and at > both]
    (other,) = [at for at, event in enumerate(events) if _starts(event, "take1/00000/sample")]
    assert other < commits[0]


def _ready(event: Event, stage: str) -> bool:
    return isinstance(event, WorkerReady) and stage in event.worker


def _samples(event: Event) -> bool:
    return isinstance(event, TaskCommitted) and event.task.endswith("/sample")


def _starts(event: Event, task: str) -> bool:
    return isinstance(event, TaskStarted) and event.task == task


def test_too_many_gpus_is_said_within_seconds(ray_session: Session, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(CapacityError, match=r"12 GPU.*8 GPU") as caught:
        render(tmp_path / "runs", document(tmp_path / "out"), "sample=10,upscale=1,decode=1")
    assert time.monotonic() - begun < 10
    assert "8 GPU" in str(caught.value)


def test_stage_without_a_host_is_an_error(ray_session: Session, tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match="upscale"):
        render(tmp_path / "runs", document(tmp_path / "out"), "sample=1,decode=1")


def test_store_that_workers_cannot_see_is_refused(ray_session: Session, tmp_path: Path) -> None:
    from farm.execution.driver import RayOptions, render_on_ray
    from farm.session.opening import Scope
    from tests.ray.specs import load

    events = render_on_ray(
        load(document(tmp_path / "out")), Scope("memory://farm-test"), RayOptions("mono=1")
    )
    with pytest.raises(StoreUnusable, match="memory of one process"):
        list(events)


def test_nothing_is_left_in_the_temporary_copy_of_an_upload(ray_session: Session, tmp_path: Path) -> None:
    upload = tmp_path / "working_dir_files" / "_ray_pkg_0"
    with pytest.raises(StoreUnusable, match=r"output\.dir"):
        render(tmp_path / "runs", document(upload / "out"), "mono=1")


def test_auto_says_which_topology_it_took_and_why(ray_session: Session, tmp_path: Path) -> None:
    data = document(tmp_path / "out", sample_s=0.2)
    rendered = render(tmp_path / "runs", data, "auto", gpus=2)
    assert rendered.outcome == "done"
    (said,) = [notice.message for notice in rendered.of(Notice) if notice.message.startswith("topology ")]
    topology, _, reason = said.removeprefix("topology ").partition(": ")
    assert reason
    state = JobState.from_json(Store.open(str(tmp_path / "runs"), JOB).read_json(STATE))
    assert state is not None
    assert state.topology == topology
    assert len(rendered.of(WorkerReady)) == len(rendered.of(WorkerPlaced))


def test_measured_durations_are_kept_beside_the_runs(ray_session: Session, tmp_path: Path) -> None:
    data = document(tmp_path / "out", videos=1, count=1, sample_s=0.2)
    render(tmp_path / "runs", data, "mono=1,segment=1")
    known = read_durations(str(tmp_path / "runs"))
    assert any("sample" in key for key in known.means)

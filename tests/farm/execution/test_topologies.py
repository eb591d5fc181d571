"""Whole renders on a cluster that is made up: equal films, events, hand-over, waits and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.engines.fake import VERSION
from cluster.inventory import NodeFacts
from cluster.local.cluster import LocalCluster
from farm.estimates.durations import Durations, Hardware, keep_durations, read_durations
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
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from farm.state.job_state import JobState
from jobs.errors import CannotRun, CapacityError, StoreUnusable
from jobs.planning.plan import make_plan
from jobs.store.documents import DIGESTS, STATE
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, document, load, render_alone

TOPOLOGIES = [
    "mono=1",
    "mono=2",
    "sample=1,upscale=1,decode=1,segment=1",
    "sample=2,upscale=1,decode=1,segment=1",
    "sample=1,upscale+decode=1,segment=1",
    "mono=2@0.5",
]
STAGED = "sample=1,upscale=1,decode=1,segment=1"
TWO_SAMPLERS = "sample=2,upscale=1,decode=1,segment=1"


def slow_samplers(_worker: str, task: str) -> float:
    """Seconds of a task, where sampling is what takes the time."""
    return 6.0 if task.endswith("/sample") else 0.1


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_films_are_those_of_the_serial_reference(
    tmp_path: Path, serial_films: Callable[..., dict[str, str]], topology: str
) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out", videos=3, count=3), topology)
    assert rendered.outcome == "done"
    assert rendered.films == serial_films(videos=3, count=3)
    assert len(rendered.films) == 3


def test_events_in_their_order(tmp_path: Path) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out"), STAGED)
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


def test_equal_renders_are_equal_event_by_event(tmp_path: Path) -> None:
    """Of a cluster that is made up, that is what its faults are repeated with. A film is put together in a
    thread of its own, on no made-up clock: when it is delivered is nobody's promise, that it is, is."""
    told, delivered = [], []
    for name in ("a", "b"):
        data = document(tmp_path / name / "out", count=2)
        events = render(tmp_path / name / "runs", data, TWO_SAMPLERS).events
        steps = [event for event in events if not isinstance(event, FilmDelivered)]
        told.append(
            [(type(event), getattr(event, "task", ""), getattr(event, "worker", "")) for event in steps]
        )
        films = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
        delivered.append(sorted(film.video for film in films))
    assert told[0] == told[1]
    assert delivered[0] == delivered[1] != []


def test_equal_tasks_of_films_are_computed_once(tmp_path: Path) -> None:
    """Four films of a matrix differ in their last chunk alone."""
    data = document(tmp_path / "out", videos=1, count=4)
    data["videos"][0]["chunks"][-1]["extend"]["prompt"] = "it ends {mood}"
    data["matrix"] = {"mood": ["calm", "wild", "odd", "late"]}
    rendered = render(tmp_path / "runs", data, TWO_SAMPLERS)
    assert (rendered.outcome, len(rendered.films)) == ("done", 4)
    assert not rendered.of(TaskFailed)
    started = [event.task for event in rendered.of(TaskStarted)]
    assert len(started) == len(set(started))
    assert sum(task.endswith("/sample") for task in started) == 3 + 4
    alone = {**data, "output": {**data["output"], "dir": str(tmp_path / "films of alone")}}
    assert rendered.films == render_alone(tmp_path / "alone", alone).films


def test_second_render_starts_no_worker(tmp_path: Path) -> None:
    data = document(tmp_path / "out")
    first = render(tmp_path / "runs", data, "mono=1")
    again = render(tmp_path / "runs", data, STAGED)
    assert again.of(TaskStarted) == []
    assert again.of(WorkerPlaced) == []
    assert again.films == first.films


def test_first_film_leaves_while_others_render(tmp_path: Path) -> None:
    data = document(tmp_path / "out", videos=3, count=2)
    rendered = render(tmp_path / "runs", data, "mono=1", LocalCluster(seconds=slow_samplers))
    kinds = [type(event).__name__ for event in rendered.events]
    assert kinds.index("FilmDelivered") < len(kinds) - 1 - kinds[::-1].index("TaskCommitted")


def test_ready_task_is_not_blocked_behind_an_unready_one(tmp_path: Path) -> None:
    """One chain's chunks wait for each other; the other chain's ready chunk goes in between, as soon as both
    samplers are there."""
    data = document(tmp_path / "out", videos=2, count=2)
    rendered = render(tmp_path / "runs", data, TWO_SAMPLERS, LocalCluster(seconds=slow_samplers))
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


def test_too_many_gpus_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match=r"12 GPU.*8 GPU"):
        render(tmp_path / "runs", document(tmp_path / "out"), "sample=10,upscale=1,decode=1")


def test_a_message_about_room_names_every_node(tmp_path: Path) -> None:
    nodes = [NodeFacts(f"n{number}", f"host-{number}", gpus=1, cpus=2) for number in range(3)]
    with pytest.raises(CapacityError, match=r"5 GPU.*3 GPU") as caught:
        render(tmp_path / "runs", document(tmp_path / "out"), "mono=5", LocalCluster(nodes))
    assert all(f"host-{number}: 1 GPU, 2 CPU" in str(caught.value) for number in range(3))


def test_stage_without_a_host_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CapacityError, match="upscale"):
        render(tmp_path / "runs", document(tmp_path / "out"), "sample=1,decode=1")


def test_store_that_workers_cannot_see_is_refused(tmp_path: Path) -> None:
    data, scope = load(document(tmp_path / "out")), Scope("memory://farm-test")
    events = render_on_ray(data, scope, RayOptions("mono=1"), LocalCluster().connect)
    with pytest.raises(StoreUnusable, match="memory of one process"):
        list(events)


def test_nothing_is_left_in_the_temporary_copy_of_an_upload(tmp_path: Path) -> None:
    upload = tmp_path / "working_dir_files" / "_ray_pkg_0"
    with pytest.raises(StoreUnusable, match=r"output\.dir"):
        render(tmp_path / "runs", document(upload / "out"), "mono=1")


def test_auto_says_which_topology_it_took_and_why(tmp_path: Path) -> None:
    rendered = render(tmp_path / "runs", document(tmp_path / "out"), "auto", gpus=2)
    assert rendered.outcome == "done"
    (said,) = [notice.message for notice in rendered.of(Notice) if notice.message.startswith("topology ")]
    topology, _, reason = said.removeprefix("topology ").partition(": ")
    assert reason
    state = JobState.from_json(Store.open(str(tmp_path / "runs"), JOB).read_json(STATE))
    assert state is not None
    assert state.topology == topology
    assert len(rendered.of(WorkerReady)) == len(rendered.of(WorkerPlaced))


def test_measured_durations_are_kept_beside_the_runs(tmp_path: Path) -> None:
    data = document(tmp_path / "out", videos=1, count=1, sample_s=0.2)
    render(tmp_path / "runs", data, "mono=1,segment=1")
    known = read_durations(str(tmp_path / "runs"))
    assert any("sample" in key for key in known.means)


def test_the_type_that_most_have_speaks_for_the_job_and_names_its_stage_times(tmp_path: Path) -> None:
    """Workers on all nodes make the same films, and all serve."""
    nodes = [
        NodeFacts(f"n{number}", "here", gpus=1, cpus=2, accelerator=kind)
        for number, kind in enumerate(("A100", "H100", "H100"))
    ]
    data = document(tmp_path / "out", videos=6, count=2)
    rendered = render(tmp_path / "runs", data, "mono", LocalCluster(nodes))
    assert rendered.outcome == "done"
    assert {"mono-0", "mono-1", "mono-2"} <= {event.worker for event in rendered.of(TaskStarted)}
    keys = read_durations(str(tmp_path / "runs")).means
    assert any("|H100|sample" in key for key in keys)
    assert not any("|A100|" in key for key in keys)


def test_a_segment_pool_that_is_too_small_is_told_before_anything_starts(tmp_path: Path) -> None:
    data, known = document(tmp_path / "out", videos=4, count=2), Durations()
    spec = load(data).spec
    for task in build_graph(make_plan(spec)).tasks.values():
        if task.stage is Stage.SEGMENT:
            known.observe_step(Hardware(spec.engine, "cpu"), task, 20.0)
    keep_durations(str(tmp_path / "runs"), known)
    rendered = render(tmp_path / "runs", data, "mono=1,segment=1")
    first = next(event for event in rendered.events if isinstance(event, Notice | TaskStarted))
    assert isinstance(first, Notice)
    assert first.message.startswith("segments are the bottleneck: with `segment=1` the job takes 160 s")
    assert "Write `segment=7`" in first.message
    assert rendered.outcome == "done"


def freeze_another_version(folder: Path) -> Store:
    """What a first render on an older engine would have left."""
    render(folder / "runs", document(folder / "out", videos=1, count=1), "mono=1,segment=1")
    store = Store.open(str(folder / "runs"), JOB)
    record = store.read_json(DIGESTS)
    assert record is not None
    record["engine"]["version"] = 0
    store.write_json(DIGESTS, {key: value for key, value in record.items() if key != "check"})
    return store


def test_workers_with_other_software_are_refused_or_the_film_says_so(tmp_path: Path) -> None:
    """A job keeps to the software and device class that its first render froze."""
    store = freeze_another_version(tmp_path)
    data = document(tmp_path / "out", videos=1, count=1)
    with pytest.raises(CannotRun, match=rf"version is {VERSION} there and 0 in this job.*mixed_compute"):
        render(tmp_path / "runs", data, "mono=1,segment=1")
    mixed = render(tmp_path / "runs", {**data, "run": {"mixed_compute": True}}, "mono=1,segment=1")
    assert mixed.outcome == "done"
    assert not all(event.exact for event in mixed.of(TaskCommitted))
    state = JobState.from_json(store.read_json(STATE))
    assert state is not None
    assert not state.exact
    assert [film.exact for film in state.videos] == [False]

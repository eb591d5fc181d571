"""What is asked of a job's driver is carried out or answered, whatever it is, and nothing else is lost by
it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.local.cluster import LocalCluster, one_node
from farm.api import render as render_serial
from farm.events import Event, Notice, TaskFailed, TaskStarted
from farm.execution import serial
from farm.session.ending import SessionEnd
from farm.session.meanwhile import Meanwhile
from farm.state.job_state import (
    COMPUTED,
    DONE,
    FAILED,
    INTERRUPTED,
    PARTIAL,
    UNAPPROVED,
    JobState,
    read_state,
)
from farm.verbs.approve import approve
from farm.verbs.retry import apply_retry
from farm.verbs.status import job_status
from jobs.errors import StorageProblem
from jobs.records import seal
from jobs.store.store import Store
from jobs.tasks.retry import Selection
from tests.farm.execution.local_render import render
from tests.farm.execution.serial_renders import committed, last, run, spec

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = Selection(frozenset({"v"}), frozenset({0}))
ODD: dict[str, Any] = {"format": 1, "videos": [], "chunks": [], "state": "odd"}
WAYS = ("serial", "mono=1")


def rendered(
    folder: Path, way: str = "serial", meanwhile: Callable[[Event], object] = lambda _: None, **changes: Any
) -> list[Event]:
    """The job's events; `meanwhile` sees each before the next one comes."""
    data, runs = spec(folder / "out", **changes), folder / "runs"
    if way != "serial":
        cluster = LocalCluster([one_node(1)], lambda _worker, _task: 5.0)
        return list(render(runs, data, way, cluster, meanwhile=meanwhile).events)
    events = []
    for event in render_serial(data, runs=str(runs), serial=True):
        meanwhile(event)
        events.append(event)
    return events


def store_of(folder: Path) -> Store:
    return Store.find(str(folder / "runs"), "j")


def state_of(folder: Path) -> JobState:
    state = read_state(store_of(folder))
    assert state is not None
    return state


def notices(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Notice))


def started(events: list[Event], stage: str) -> list[str]:
    return [event.task for event in events if isinstance(event, TaskStarted) and event.task.endswith(stage)]


def asks_what_nobody_knows(store: Store, request: dict[str, Any]) -> None:
    store.backend.replace("requests/retry-00000000000000000001-abcdef.json", seal(request))


def unapproved_with_a_film(folder: Path) -> str:
    """A job whose film was approved, and is rejected again: its state has the path of the film."""
    asks: dict[str, Any] = {"run": {"approve": "sample"}}
    assert last(rendered(folder, **asks)).outcome == UNAPPROVED
    approve(str(folder / "runs"), "j", Selection())
    assert last(rendered(folder, **asks)).outcome == DONE
    apply_retry(str(folder / "runs"), "j", FIRST)
    film = state_of(folder).film("v")
    assert film is not None
    return film.path


def quarantines(event: Event) -> bool:
    ends = ("quarantined", "of at most", "on every rung")
    return isinstance(event, TaskFailed) and any(end in event.then for end in ends)


REFUSED = [
    pytest.param(ODD, "state: 'odd'", id="a state that there is not"),
    pytest.param({**ODD, "format": 99}, "in format 99", id="of a newer version"),
    pytest.param({**ODD, "state": None, "videos": ["dusk"]}, "must be a video of the job", id="a video"),
]


@pytest.mark.parametrize(("request_", "why"), REFUSED)
def test_a_request_that_cannot_be_carried_out_is_answered_by_the_driver_that_takes_it_up(
    request_: dict[str, Any], why: str, tmp_path: Path
) -> None:
    path = unapproved_with_a_film(tmp_path)
    asks_what_nobody_knows(store_of(tmp_path), request_)
    events = rendered(tmp_path, run={"approve": "sample"})
    assert "a request of farm retry came to nothing" in notices(events)
    assert why in notices(events)
    film = state_of(tmp_path).film("v")
    assert (last(events).outcome, film and film.path) == (DONE, path)
    assert store_of(tmp_path).asked_retries() == ()


@pytest.mark.parametrize(("request_", "why"), REFUSED)
@pytest.mark.parametrize("way", WAYS)
def test_it_ends_no_render_either(way: str, request_: dict[str, Any], why: str, tmp_path: Path) -> None:
    asked = False

    def meanwhile(event: Event) -> None:
        nonlocal asked
        if isinstance(event, TaskStarted) and event.task == "v/00001/sample" and not asked:
            asked = True
            asks_what_nobody_knows(store_of(tmp_path), request_)

    events = rendered(tmp_path, way, meanwhile)
    assert (last(events).outcome, asked) == (DONE, True)
    assert why in notices(events)
    assert store_of(tmp_path).asked_retries() == ()


def test_a_driver_that_cannot_take_a_job_up_leaves_its_films_in_the_state(tmp_path: Path) -> None:
    path = unapproved_with_a_film(tmp_path)
    blocks = tmp_path / "runs" / "j" / "requests" / "pause.json"
    (blocks / "not empty").mkdir(parents=True)
    with pytest.raises(StorageProblem, match=r"pause\.json"):
        rendered(tmp_path, run={"approve": "sample"})
    state = state_of(tmp_path)
    film = state.film("v")
    assert (state.outcome, film and film.path) == (INTERRUPTED, path)
    shutil.rmtree(blocks)
    assert last(rendered(tmp_path, run={"approve": "sample"})).outcome == DONE


def test_a_film_that_is_made_anew_is_no_longer_missed(tmp_path: Path) -> None:
    """It could not be delivered; somebody made room and had a chunk rendered again."""
    film = tmp_path / "out" / "v.mp4"
    said: list[str] = []
    chunk = {"generate": {"prompt": "one", "num_frames": 17}}
    videos = [{"name": "v", "chunks": [chunk]}, {"name": "w", "chunks": [chunk] * 6}]

    def meanwhile(event: Event) -> None:
        if isinstance(event, TaskStarted) and event.task == "v/00000/sample" and not said:
            (film / "in the way").mkdir(parents=True)
        if isinstance(event, Notice) and "could not be delivered" in event.message:
            said.append(event.message)
            shutil.rmtree(film)
            apply_retry(str(tmp_path / "runs"), "j", FIRST)

    engine = {"name": "fake", "fake": {"sample_s": 0.3}}
    events = rendered(tmp_path, "serial", meanwhile, videos=videos, engine=engine)
    assert len(said) == 1
    assert "asked by farm retry" in notices(events)
    assert (last(events).outcome, film.is_file()) == (DONE, True), last(events).state["reason"]


@pytest.mark.parametrize("fault", ["raise", "oom"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_rendered_again_has_no_history(way: str, fault: str, tmp_path: Path) -> None:
    """Neither the rungs that it climbed before, nor the failures that it is judged by."""
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00002/sample", "do": fault}]}))
    failures: list[tuple[int, str]] = []
    asked = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, TaskFailed):
            failures.append((event.attempt, event.then))
            if quarantines(event):
                asked.append(len(failures))
                if len(asked) == 1:
                    apply_retry(str(tmp_path / "runs"), "j", Selection(frozenset({"v"}), frozenset({2})))

    rendered(tmp_path, way, meanwhile, engine={"name": "fake", "fake": {"faults": str(script)}})
    assert len(asked) == 2, failures
    assert failures[: asked[0]] == failures[asked[0] :]


@pytest.mark.parametrize("way", WAYS)
def test_a_request_beside_the_last_failure_is_carried_out(way: str, tmp_path: Path) -> None:
    """Nothing was delivered, and nothing can be: the driver looks once more all the same."""
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00000/sample", "do": "raise"}]}))
    videos = [{"name": "v", "chunks": [{"generate": {"prompt": "one", "num_frames": 17}}]}]
    asked = False

    def meanwhile(event: Event) -> None:
        nonlocal asked
        if quarantines(event) and not asked:
            asked = True
            apply_retry(str(tmp_path / "runs"), "j", Selection())

    engine = {"name": "fake", "fake": {"faults": str(script)}}
    events = rendered(tmp_path, way, meanwhile, engine=engine, videos=videos)
    assert (asked, last(events).outcome) == (True, PARTIAL if way == "serial" else FAILED)
    assert "asked by farm retry" in notices(events)
    assert store_of(tmp_path).asked_retries() == ()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_asked_while_films_are_waited_for_is_said_and_left_to_the_next_driver(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, wait = str(tmp_path / "runs"), SessionEnd.wait

    def asked_meanwhile(self: SessionEnd, outcome: str) -> StorageProblem | None:
        assert outcome in COMPUTED
        assert apply_retry(runs, "j", FIRST).asked
        return wait(self, outcome)

    with monkeypatch.context() as late:
        late.setattr(SessionEnd, "wait", asked_meanwhile)
        events = rendered(tmp_path, way)
    state = state_of(tmp_path)
    assert (state.outcome, last(events).state["reason"]) == (DONE, state.reason)
    assert state.reason.startswith("chosen too late for this render: 1 request of farm retry: `farm resume j")
    assert job_status(runs, "j").requests == ("retry",)
    again = list(render_serial(spec(tmp_path / "out"), runs=runs, serial=True, resume=True))
    assert (last(again).outcome, last(again).state["reason"]) == (DONE, "")
    assert "v/00000/sample" in committed(again)
    assert job_status(runs, "j").requests == ()


def test_what_is_approved_while_films_are_waited_for_waits_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = SessionEnd.wait

    def approved_meanwhile(self: SessionEnd, outcome: str) -> StorageProblem | None:
        approve(str(tmp_path / "runs"), "j", Selection())
        return wait(self, outcome)

    monkeypatch.setattr(SessionEnd, "wait", approved_meanwhile)
    events = rendered(tmp_path, run={"approve": "sample"})
    reason = last(events).state["reason"]
    assert last(events).outcome == UNAPPROVED
    assert reason.startswith("chosen too late for this render: approval of ")
    assert "farm resume j" in reason


def test_a_render_in_one_process_looks_as_often_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, look = [], Meanwhile.approved

    def counted(self: Meanwhile) -> list[str]:
        looks.append(self)
        return look(self)

    monkeypatch.setattr(Meanwhile, "approved", counted)
    monkeypatch.setattr(serial, "POLL_S", 3600.0)
    events = run(spec(tmp_path / "out"), tmp_path / "runs")
    assert len(started(events, "")) > 10
    assert len(looks) <= 3, "after the first task, when all is computed, and at the end"

"""What people choose reaches a job while it renders: approved shots go on at once, rejected chunks are made
again, and all others render on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.local.cluster import LocalCluster, one_node
from farm.api import render as render_serial
from farm.events import Event, JobFinished, JobPlanned, Notice, TaskCommitted, TaskStarted, WorkerReady
from farm.execution import serial
from farm.state.job_state import DONE, UNAPPROVED
from farm.verbs.approve import approve
from farm.verbs.retry import apply_retry
from farm.verbs.run import JobDocuments
from farm.verbs.status import job_status
from jobs.errors import UsageError
from jobs.hashing import sha256_of_file
from jobs.store.store import Store
from jobs.tasks.retry import Selection
from tests.farm.execution.local_render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHOTS, STEP_S = 8, 5.0
WAYS = ("mono=2", "sample=2,upscale+decode=1", "serial")


def job(out: Path, **more: Any) -> dict[str, Any]:
    """A film of eight shots of two chunks each."""
    chunks: list[dict[str, Any]] = []
    for shot in range(SHOTS):
        chunks.append({"generate": {"prompt": f"shot {shot}", "num_frames": 17, "shot": f"s{shot}"}})
        chunks.append({"extend": {"prompt": f"on {shot}", "num_new_frames": 16, "overlap_frames": 8}})
    return {
        "version": 3,
        "name": "pier",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "upscale": {"steps": 1},
        "videos": [{"name": "dawn", "chunks": chunks}],
        "run": {"approve": "sample"},
        "output": {"dir": str(out)},
        **more,
    }


def rendered(folder: Path, way: str, meanwhile: Callable[[Event], object] = lambda _: None) -> list[Event]:
    """The job's events; `meanwhile` sees each before the next one comes."""
    data, runs = job(folder / "out"), str(folder / "runs")
    if way != "serial":
        cluster = LocalCluster([one_node(3)], lambda _worker, _task: STEP_S)
        return list(render(folder / "runs", data, way, cluster, meanwhile=meanwhile).events)
    events = []
    for event in render_serial(data, runs=runs, serial=True):
        meanwhile(event)
        events.append(event)
    return events


def chunks(*numbers: int) -> Selection:
    return Selection(frozenset({"dawn"}), frozenset(numbers))


def started(events: Iterable[Event], stage: str = "") -> list[str]:
    return [event.task for event in events if isinstance(event, TaskStarted) and event.task.endswith(stage)]


def outcome(events: list[Event]) -> str:
    assert isinstance(events[-1], JobFinished)
    return events[-1].outcome


def no_restarts(events: Iterable[Event]) -> bool:
    ready = [event.worker for event in events if isinstance(event, WorkerReady)]
    return len(ready) == len(set(ready)) > 0


def committed(event: Event, task: str) -> bool:
    return isinstance(event, TaskCommitted) and event.task == task


@pytest.mark.parametrize("way", WAYS)
def test_an_approved_shot_goes_on_while_others_are_sampled(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In one process the fake engine is done before the driver would look again.
    monkeypatch.setattr(serial, "POLL_S", 0.0)
    runs = str(tmp_path / "runs")

    def meanwhile(event: Event) -> None:
        if committed(event, "dawn/00001/sample"):
            found = approve(runs, "pier", chunks(0, 1))
            assert (found.free, found.busy) == (("dawn/00000/upscale", "dawn/00001/upscale"), True)

    events = rendered(tmp_path, way, meanwhile)
    assert outcome(events) == UNAPPROVED
    order = started(events)
    assert sorted(started(events, "/upscale")) == ["dawn/00000/upscale", "dawn/00001/upscale"]
    last_sample = max(order.index(task) for task in order if task.endswith("/sample"))
    assert order.index("dawn/00000/upscale") < last_sample
    assert {"dawn/00000/segment", "dawn/00001/segment"} <= set(order)
    assert "dawn/00002/segment" not in order
    assert "dawn.draft/00015/segment" in order
    assert max(Counter(order).values()) == 1
    assert sum(isinstance(event, JobPlanned) for event in events) == 1
    if way != "serial":
        assert set(Counter(event.worker for event in events if isinstance(event, WorkerReady)).values()) == {
            1
        }
    assert [path.name for path in (tmp_path / "out").glob("*.mp4") if "preview" not in path.name] == [
        "dawn.draft.mp4"
    ]


def test_the_second_pass_of_a_chunk_waits_for_those_before_it(tmp_path: Path) -> None:
    rendered(tmp_path, "serial")
    found = approve(str(tmp_path / "runs"), "pier", chunks(1, 2))
    assert (found.free, found.busy) == (("dawn/00002/upscale",), False)
    events = rendered(tmp_path, "serial")
    assert (outcome(events), started(events, "/upscale")) == (UNAPPROVED, ["dawn/00002/upscale"])


def change(runs: str) -> None:
    """Two of the eight shots are rejected: one gets another seed, the other another prompt."""
    apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({3}), reseed=True))
    apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({4}), prompt="no gulls"))


@pytest.mark.parametrize("way", WAYS)
def test_two_of_eight_shots_are_rejected_while_the_job_renders(way: str, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    asked = False

    def meanwhile(event: Event) -> None:
        nonlocal asked
        if committed(event, "dawn/00009/sample"):
            assert {f"dawn/{chunk:05d}/sample" for chunk in range(10)} <= there(runs)
            asked = True
            change(runs)

    before = rendered(tmp_path / "before", "serial")
    assert outcome(before) == UNAPPROVED
    change(str(tmp_path / "before" / "runs"))
    again = rendered(tmp_path / "before", "serial")
    assert sorted(started(again, "/sample")) == [f"dawn/{chunk:05d}/sample" for chunk in (3, 4, 5)]

    events = rendered(tmp_path, way, meanwhile)
    assert asked
    assert outcome(events) == UNAPPROVED
    often = Counter(started(events, "/sample"))
    assert {task for task, count in often.items() if count == 2} == set(started(again, "/sample"))
    assert max(often.values()) == 2
    assert Store.find(runs, "pier").asked_retries() == ()
    assert prompt_of(runs, 4) == "no gulls"
    if way != "serial":
        assert set(Counter(event.worker for event in events if isinstance(event, WorkerReady)).values()) == {
            1
        }
    drafts = [sha256_of_file(folder / "out" / "dawn.draft.mp4") for folder in (tmp_path, tmp_path / "before")]
    assert drafts[0] == drafts[1]


def there(runs: str) -> set[str]:
    return set(JobDocuments.open(runs, "pier").committed)


@pytest.mark.parametrize("way", WAYS)
def test_all_that_is_approved_in_time_is_delivered_by_the_driver_that_is_there(
    way: str, tmp_path: Path
) -> None:
    runs = str(tmp_path / "runs")

    def meanwhile(event: Event) -> None:
        if committed(event, "dawn.draft/00015/segment"):
            approve(runs, "pier", Selection())

    events = rendered(tmp_path, way, meanwhile)
    assert (outcome(events), max(Counter(started(events)).values())) == (DONE, 1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dawn.mp4"]
    status = job_status(runs, "pier")
    assert [(video.name, video.committed) for video in status.videos] == [("dawn", 16)]
    assert {stage.stage: stage.committed for stage in status.stages}["sample"] == 16
    plain = {**job(tmp_path / "plain"), "run": {}}
    list(render_serial(plain, runs=str(tmp_path / "others"), serial=True))
    films = [sha256_of_file(tmp_path / folder / "dawn.mp4") for folder in ("out", "plain")]
    assert films[0] == films[1]
    assert outcome(rendered(tmp_path, "serial")) == DONE


def test_a_film_that_is_rejected_after_all_is_a_draft_again(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    rendered(tmp_path, "serial")
    approve(runs, "pier", Selection())
    assert outcome(rendered(tmp_path, "serial")) == DONE
    film = sha256_of_file(tmp_path / "out" / "dawn.mp4")
    apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({3}), prompt="no gulls"))
    events = rendered(tmp_path, "serial")
    assert (outcome(events), started(events, "/sample")) == (UNAPPROVED, ["dawn/00003/sample"])
    assert sha256_of_file(tmp_path / "out" / "dawn.mp4") == film
    assert (tmp_path / "out" / "dawn.draft.mp4").exists()
    approve(runs, "pier", Selection())
    events = rendered(tmp_path, "serial")
    assert (outcome(events), started(events, "/upscale")) == (DONE, ["dawn/00003/upscale"])
    assert sha256_of_file(tmp_path / "out" / "dawn.mp4") != film


def test_a_request_that_no_driver_lived_to_answer_is_answered_by_the_next(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")

    class Killed(Exception):
        pass

    def meanwhile(event: Event) -> None:
        if committed(event, "dawn/00001/sample"):
            apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({0}), prompt="a new one"))
            raise Killed

    with pytest.raises(Killed):
        rendered(tmp_path, "serial", meanwhile)
    assert len(Store.find(runs, "pier").asked_retries()) == 1
    events = rendered(tmp_path, "serial")
    said = [event.message for event in events if isinstance(event, Notice)]
    assert any("asked by farm retry" in message for message in said)
    assert (outcome(events), started(events, "/sample")[:2]) == (
        UNAPPROVED, ["dawn/00000/sample", "dawn/00001/sample"]
    )  # fmt: skip


def test_an_edit_of_the_spec_counts_more_than_an_older_prompt_of_a_retry(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    rendered(tmp_path, "serial")
    apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({3}), prompt="no gulls"))
    rendered(tmp_path, "serial")
    apply_retry(runs, "pier", Selection(frozenset({"dawn"}), frozenset({3}), prompt="one gull"))
    rendered(tmp_path, "serial")
    assert prompt_of(runs, 3) == "one gull"
    edited = job(tmp_path / "out")
    edited["videos"][0]["chunks"][3]["extend"]["prompt"] = "two gulls"
    list(render_serial(edited, runs=runs, serial=True))
    assert prompt_of(runs, 3) == "two gulls"
    with pytest.raises(UsageError, match="--chunks: 99"):
        apply_retry(runs, "pier", chunks(99))


def prompt_of(runs: str, chunk: int) -> str:
    return JobDocuments.open(runs, "pier").plan.videos[0].chunks[chunk].prompt

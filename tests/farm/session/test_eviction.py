"""Frames leave the store beside the rendering, and nothing is lost on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from farm.session.eviction import AT_ONCE, Evictions
from farm.state.job_state import DONE, PAUSED
from jobs.errors import JobBusy, StorageProblem
from jobs.store.documents import DIGESTS
from jobs.store.store import Store

if TYPE_CHECKING:
    from jobs.store.commits import Commit

REQUEST_S = 0.04


def spec(out: Path, chunks: int = 4) -> dict[str, Any]:
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
    return {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 2},
        "videos": [
            {"name": "dawn", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}, *[extend] * chunks]}
        ],
        "output": {"dir": str(out), "preset": "ultrafast"},
    }


class Slow:
    """A medium that takes its time for each request, and remembers them."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.asked: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        does = getattr(self._backend, name)
        if name not in ("read", "replace", "delete"):
            return does

        def slowly(key: str, *rest: Any) -> Any:
            time.sleep(REQUEST_S)
            self.asked.append((name, key))
            return does(key, *rest)

        return slowly


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "runs"), "harbor")


def committed(store: Store, count: int) -> list[Commit]:
    return [store.put(f"{number:064x}", 1, "bin", b"frames", {"at": number}) for number in range(count)]


def evictions_of(store: Store, require_lock: Any = lambda: None) -> Iterator[Evictions]:
    evictions = Evictions(store, require_lock)
    yield evictions
    evictions.close()


def test_handing_over_takes_no_time_and_records_go_first(store: Store) -> None:
    commits = committed(store, 6)
    store.backend = slow = Slow(store.backend)
    for evictions in evictions_of(store):
        begun = time.monotonic()
        for commit in commits:
            evictions.add(commit)
        assert time.monotonic() - begun < len(commits) * REQUEST_S
        evictions.wait()
    for commit in commits:
        mine = [(what, key) for what, key in slow.asked if commit.digest in key]
        assert mine == [
            ("read", f"commits/{commit.digest}.json"),
            ("replace", f"evicted/{commit.digest}.json"),
            ("delete", f"commits/{commit.digest}.json"),
            ("delete", commit.file),
        ]
    assert store.evicted() == {commit.digest: commit for commit in commits}


def test_what_another_driver_has_taken_over_is_not_touched(store: Store) -> None:
    (commit,) = committed(store, 1)

    def lost() -> None:
        raise JobBusy("another driver has it")

    for evictions in evictions_of(store, lost):
        evictions.add(commit)
        with pytest.raises(JobBusy):
            evictions.wait()
    assert store.commits() == {commit.digest: commit}


def test_a_problem_is_told_once_and_the_rest_waits_for_the_next_driver(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = committed(store, 40)
    refused = threading.Event()

    def refuse(_self: Store, _commit: Commit) -> None:
        refused.wait(5)
        raise StorageProblem("the bucket does not answer")

    monkeypatch.setattr(Store, "evict", refuse)
    for evictions in evictions_of(store):
        for commit in commits:
            evictions.add(commit)
        evictions.check()
        refused.set()
        with pytest.raises(StorageProblem, match="does not answer"):
            evictions.wait()
        evictions.check()
        evictions.wait()
    assert len(store.commits()) == 40


def test_the_end_waits_for_what_runs_and_drops_what_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    evict, commits = Store.evict, committed(store, 40)

    def slow(self: Store, commit: Commit) -> None:
        time.sleep(0.2)
        evict(self, commit)

    monkeypatch.setattr(Store, "evict", slow)
    for evictions in evictions_of(store):
        for commit in commits:
            evictions.add(commit)
    assert AT_ONCE <= len(store.evicted()) < len(commits)
    assert {*store.evicted(), *store.commits()} == {commit.digest for commit in commits}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eviction")]


def test_a_render_goes_on_meanwhile_and_ends_with_nothing_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first eviction ends only once three more tasks are done."""
    evict, more = Store.evict, threading.Semaphore(0)
    went_on: list[bool] = []

    def held_up(self: Store, commit: Commit) -> None:
        if not went_on:
            went_on.append(all(more.acquire(timeout=10) for _ in range(3)))
        evict(self, commit)

    monkeypatch.setattr(Store, "evict", held_up)
    for event in render(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True):
        if isinstance(event, TaskCommitted):
            more.release()
        if isinstance(event, JobFinished):
            assert event.outcome == DONE
            assert frames_left(tmp_path / "runs") == []
    assert went_on == [True]


def frames_left(runs: Path) -> list[str]:
    store = Store.find(str(runs), "harbor")
    held = store.committed_digests()
    record: Any = store.read_json(DIGESTS)
    return [task for task, digest in record["digests"].items() if digest in held and "decode" in task]


def test_frames_that_a_driver_did_not_give_up_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Store, _commit: Commit) -> None:
        raise StorageProblem("the bucket does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(Store, "evict", refuse)
        *_, last = render(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True)
    assert isinstance(last, JobFinished)
    assert (last.outcome, last.state["reason"]) == (PAUSED, "the bucket does not answer")
    assert frames_left(tmp_path / "runs")
    *_, last = render(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True)
    assert isinstance(last, JobFinished)
    assert last.outcome == DONE
    assert frames_left(tmp_path / "runs") == []

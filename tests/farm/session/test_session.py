"""Whose a job is: what waits for it is told, and who lost it has no more to say about it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.events import Notice
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.state.event_log import EventLog
from farm.state.job_state import CANCELLED, DONE, STATE_FORM, JobState, read_state
from jobs.errors import DamagedDocument, JobBusy, NewerFormat, UsageError
from jobs.loading.load import load_spec
from jobs.records import seal
from jobs.store import lock as lock_module
from jobs.store.documents import STATE
from jobs.store.lock import LockTiming
from jobs.store.lock_file import read_holder

if TYPE_CHECKING:
    from jobs.store.store import Store

DONE_ELSEWHERE = JobState(job="harbor", outcome=DONE)


@pytest.fixture
def session(tmp_path: Path) -> JobSession:
    data: dict[str, Any] = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a harbor"}}]}],
        "output": {"dir": str(tmp_path / "out")},
    }
    return JobSession(load_spec(data), Scope(str(tmp_path / "runs")))


def taken_over(store: Store) -> None:
    """What another machine's driver does that found this one silent, and then finished the job."""
    holder = read_holder(store.backend)
    assert holder is not None
    other = replace(holder, generation=holder.generation + 1, token="other", host="elsewhere")
    document = {**json.loads(store.backend.read("lock/00000001.json")), "token": other.token}
    store.backend.create(f"lock/{other.generation:08d}.json", json.dumps(document).encode())
    store.save(STATE_FORM, DONE_ELSEWHERE)


def loses_the_job(session: JobSession, then: Callable[[], object]) -> None:
    """The session begins, another driver takes the job over, and the session learns of it and goes on."""
    with session:
        list(session.begin())
        taken_over(session.store)
        session._lock.beat()
        then()


def requested_end(store: Store) -> JobState | None:
    return read_state(store)


def test_it_is_told_and_leaves_the_state_as_it_is(session: JobSession) -> None:
    with pytest.raises(JobBusy, match="took the job over"):
        loses_the_job(session, session.check_lock)
    assert requested_end(session.store) == DONE_ELSEWHERE


def test_it_cannot_say_how_the_job_ended(session: JobSession) -> None:
    with pytest.raises(JobBusy):
        loses_the_job(session, lambda: list(session.finish(DONE)))
    assert requested_end(session.store) == DONE_ELSEWHERE


def test_it_does_not_wait_for_a_film_of_a_job_that_it_lost(
    session: JobSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session._lock, "timing", LockTiming(beat_s=0.1))

    def mend() -> None:
        session._films._delivery._running.append((Future(), False))
        list(session.mend())

    with pytest.raises(JobBusy):
        loses_the_job(session, mend)


def test_an_ordinary_exception_leaves_the_job_interrupted(session: JobSession) -> None:

    def render() -> None:
        with session:
            list(session.begin())
            raise ValueError("what went wrong")

    with pytest.raises(ValueError, match="what went wrong"):
        render()
    state = requested_end(session.store)
    assert state is not None
    assert (state.outcome, state.reason) == ("interrupted", "what went wrong")


def test_a_wait_for_a_silent_driver_is_told_when_it_begins(
    session: JobSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine cannot be asked, so its lock is watched; only the holder writes the job's log."""
    monkeypatch.setattr(lock_module, "alive", lambda _: None)
    monkeypatch.setattr(session._lock, "timing", LockTiming(beat_s=0.2, stale_s=2.0))
    other = session.store.lock(LockTiming(beat_s=1000.0))
    other.acquire()
    with session:
        notices = session.begin()
        begun = time.monotonic()
        first = next(notices)
        assert time.monotonic() - begun < 1.0
        assert isinstance(first, Notice)
        assert "watching its lock for up to 2 s" in first.message
        assert list(EventLog(session.store)) == []
        (second,) = notices
        assert isinstance(second, Notice)
        assert "no sign of life" in second.message
        assert [logged.event for logged in EventLog(session.store)] == [first, second]
    other.release()


CANCELLED_HERE = JobState(job="harbor", outcome=CANCELLED, reason="cancelled by the user")


def test_a_cancelled_job_of_another_version_stays_cancelled(session: JobSession) -> None:
    """Fields that this version does not know, and lacks, change nothing about the outcome."""
    session.store.save(STATE_FORM, CANCELLED_HERE)
    document = session.store.read_json(STATE) or {}
    del document["topology"], document["tasks"]
    session.store.write_json(STATE, {**document, "colour": "blue"})
    with pytest.raises(UsageError, match="was cancelled"), session:
        list(session.begin())


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"outcome": "cancelled"}', seal({"job": 3})])
def test_a_state_that_cannot_be_read_is_refused_and_not_taken_for_none(
    session: JobSession, damage: bytes
) -> None:
    session.store.backend.replace(STATE, damage)
    with pytest.raises(DamagedDocument) as refusal, session:
        list(session.begin())
    (problem,) = refusal.value.problems
    assert problem.place == f"{session.store.url}/state.json"
    assert f"farm resume harbor --serial --runs {session.scope.runs_url}" in problem.remedy
    assert session.store.backend.read(STATE) == damage


def test_a_state_that_cannot_be_read_is_replaced_on_purpose(session: JobSession) -> None:
    session.store.backend.replace(STATE, b"{")
    session.scope = replace(session.scope, resume=True)
    with session:
        list(session.begin())
        list(session.finish(DONE))
    state = requested_end(session.store)
    assert state is not None
    assert state.outcome == DONE


@pytest.mark.parametrize("name", ["state.json", "plan.json", "digests.json", "seeds.json"])
def test_a_job_of_a_newer_format_is_not_written(session: JobSession, name: str) -> None:
    session.store.write_json(name, {"format": 99, "farm": "9.9.9", "job": "harbor", "outcome": "done"})
    before = session.store.backend.read(name)
    session.scope = replace(session.scope, resume=True)
    with pytest.raises(NewerFormat, match=r"farm 9\.9\.9"), session:
        list(session.begin())
    assert session.store.backend.read(name) == before

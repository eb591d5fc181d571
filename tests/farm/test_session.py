"""A session whose job another driver took over has no more to say about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.session import JobSession, Scope
from farm.state import DONE, JobState
from jobs.errors import JobBusy
from jobs.load import load_spec
from jobs.store import STATE, Store
from jobs.store.lock import read_holder

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
    store.write_json(STATE, DONE_ELSEWHERE.to_json())


def standing(store: Store) -> JobState | None:
    return JobState.from_json(store.read_json(STATE))


def test_it_is_told_and_leaves_the_state_as_it_is(session: JobSession) -> None:
    with pytest.raises(JobBusy, match="took the job over"), session:
        taken_over(session.store)
        session._lock.beat()
        session.check_lock()
    assert standing(session.store) == DONE_ELSEWHERE


def test_it_cannot_say_how_the_job_ended(session: JobSession) -> None:
    with pytest.raises(JobBusy), session:
        taken_over(session.store)
        session._lock.beat()
        list(session.finish(DONE))
    assert standing(session.store) == DONE_ELSEWHERE


def test_an_ordinary_exception_leaves_the_job_interrupted(session: JobSession) -> None:
    with pytest.raises(ValueError, match="what went wrong"), session:
        raise ValueError("what went wrong")
    state = standing(session.store)
    assert state is not None
    assert (state.outcome, state.reason) == ("interrupted", "what went wrong")

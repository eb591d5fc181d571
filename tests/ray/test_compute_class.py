"""A job keeps to the software and device class that its first render froze."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.session import Session
from farm.events import TaskCommitted
from farm.state.job_state import JobState
from jobs.errors import CannotRun
from jobs.store.documents import DIGESTS, STATE
from jobs.store.store import Store
from tests.ray.specs import JOB, document, render


def freeze_another_version(folder: Path) -> Store:
    """What a first render on an older engine would have left."""
    render(folder / "runs", document(folder / "out", videos=1, count=1), "mono=1,segment=1")
    store = Store.open(str(folder / "runs"), JOB)
    record = store.read_json(DIGESTS)
    assert record is not None
    record["engine"]["version"] = 0
    store.write_json(DIGESTS, {key: value for key, value in record.items() if key != "check"})
    return store


def test_other_workers_are_refused_or_the_film_says_so(ray_session: Session, tmp_path: Path) -> None:
    store = freeze_another_version(tmp_path)
    data = document(tmp_path / "out", videos=1, count=1)
    with pytest.raises(CannotRun, match=r"version is 1 there and 0 in this job.*mixed_compute"):
        render(tmp_path / "runs", data, "mono=1,segment=1")
    mixed = render(tmp_path / "runs", {**data, "run": {"mixed_compute": True}}, "mono=1,segment=1")
    assert mixed.outcome == "done"
    assert not all(event.exact for event in mixed.of(TaskCommitted))
    state = JobState.from_json(store.read_json(STATE))
    assert state is not None
    assert not state.exact
    assert [film.exact for film in state.videos] == [False]

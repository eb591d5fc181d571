"""The same film from a run on an object store, interrupted and damaged on the way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.api import render
from farm.events import FilmDelivered, JobFinished, TaskCommitted
from farm.state.job_state import DONE, JobState
from farm.verbs.status import job_status
from farm.verbs.verify import verify_job
from jobs.store.documents import DIGESTS
from jobs.store.store import Store

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace


def render_at(
    workspace: Workspace, runs: str, stop_after: int | None = None
) -> tuple[list[str], JobState | None]:
    """The tasks that were computed, and the final state where the render came to its end."""
    computed: list[str] = []
    events = render(workspace.spec_of(runs), runs=runs, serial=True)
    for event in events:
        if isinstance(event, TaskCommitted):
            computed.append(event.task)
            if len(computed) == stop_after:
                events.close()
                break
        elif isinstance(event, JobFinished):
            return computed, JobState.from_json(event.state)
    return computed, None


@pytest.fixture(params=[pytest.param("s3", marks=pytest.mark.long), "memory"])
def remote_runs(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://durability"
    return f"{request.getfixturevalue('s3_url')}/durability"


def test_an_interrupted_run_on_an_object_store_gives_the_same_films(
    workspace: Workspace, remote_runs: str
) -> None:
    undisturbed = workspace.render()
    first, _ = render_at(workspace, remote_runs, stop_after=9)
    assert job_status(remote_runs, "harbor").outcome == "interrupted"
    store = Store.find(remote_runs, "harbor")
    digests: Any = store.read_json(DIGESTS)
    sample = store.commit(digests["digests"]["dawn/00000/sample"])
    segment = store.commit(digests["digests"]["dawn/00001/segment"])
    assert sample is not None
    assert segment is not None
    store.backend.replace(sample.file, store.backend.read(sample.file)[:-1])
    store.backend.replace(f"commits/{segment.digest}.json", b"{")
    rest, state = render_at(workspace, remote_runs)
    assert state is not None
    assert state.outcome == DONE
    assert {film.name: film.sha256 for film in state.videos} == undisturbed.films
    again = set(first) & set(rest)
    assert again == {"dawn/00000/sample", "dawn/00001/segment", "dawn/00000/decode"}
    assert verify_job(remote_runs, "harbor").ok
    assert render_at(workspace, remote_runs)[0] == []


def test_the_copies_of_a_films_segments_go_once_it_is_delivered(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the driver's disk would have to hold every segment of every film."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runs, delivered = "memory://copies", set[str]()
    for event in render(workspace.spec_of(runs), runs=runs, serial=True):
        if isinstance(event, FilmDelivered) and not event.preview:
            delivered.add(event.video)
            names = {path.name.partition(".")[0] for path in tmp_path.rglob("*.mov")}
            record: Any = Store.find(runs, "harbor").read_json(DIGESTS)
            held = {task.partition("/")[0] for task, digest in record["digests"].items() if digest in names}
            assert held.isdisjoint(delivered)
    assert delivered == {"dawn", "noon"}
    assert list(tmp_path.iterdir()) == []

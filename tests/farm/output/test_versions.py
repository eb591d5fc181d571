"""Films that are kept when newer ones take their names, and names with the job's date and seed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.api import films, render
from farm.events import JobFinished
from farm.output.records import OutputRecords
from farm.state.job_state import STATE_FORM
from farm.verbs.cleanup import delete_job, survey_delete
from farm.verbs.verify import verify_job
from jobs.errors import SpecError, StorageProblem, UsageError
from jobs.loading.load import load_spec
from jobs.planning.output_names import version_name, version_of
from jobs.store.store import Store
from tests.farm.output.test_placing import FILM, Place, place, writes

__all__ = ["place"]


def put(place: Place, content: bytes, versions: int = 3) -> None:
    place.placing().put(FILM, writes(content), versions=versions)


def standing(place: Place) -> dict[str, bytes]:
    """What is there by now: this client of the store remembers what it saw."""
    place.files.invalidate_cache()
    return place.all()


def test_the_last_films_are_kept(place: Place) -> None:
    for content in (b"first", b"second", b"second", b"third", b"fourth"):
        put(place, content)
    assert standing(place) == {"dawn.mp4": b"fourth", "dawn.v2.mp4": b"second", "dawn.v3.mp4": b"third"}
    put(place, b"fifth", versions=2)
    assert standing(place) == {"dawn.mp4": b"fifth", "dawn.v4.mp4": b"fourth"}
    put(place, b"sixth", versions=1)
    assert standing(place) == {"dawn.mp4": b"sixth", "dawn.v4.mp4": b"fourth"}


def test_what_is_not_the_jobs_is_neither_kept_nor_dropped(place: Place) -> None:
    put(place, b"first")
    place.put("dawn.v1.mp4", b"a holiday")
    with pytest.raises(StorageProblem, match=r"dawn\.v1\.mp4 holds something"):
        put(place, b"second")
    assert standing(place) == {"dawn.mp4": b"first", "dawn.v1.mp4": b"a holiday"}
    place.files.rm(f"{place.root}/dawn.v1.mp4")
    put(place, b"second")
    place.put("dawn.v1.mp4", b"graded")
    for content in (b"third", b"fourth", b"fifth"):
        put(place, content, versions=2)
    assert standing(place) == {"dawn.mp4": b"fifth", "dawn.v1.mp4": b"graded", "dawn.v4.mp4": b"fourth"}


def test_a_driver_that_dies_between_the_two_names_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old film has its new name, and the new one none yet."""
    put(place, b"first")
    dying = place.placing()

    def dies(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dying.outlet, "create", dies)
    monkeypatch.setattr(dying.outlet, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        dying.put(FILM, writes(b"second"), versions=3)
    assert standing(place)["dawn.v1.mp4"] == b"first"
    put(place, b"second")
    assert standing(place) == {"dawn.mp4": b"second", "dawn.v1.mp4": b"first"}
    records = OutputRecords(Store.open(str(place.runs), "harbor"))
    assert [number for number, _ in records.versions(FILM)] == [1]


def test_names_of_versions() -> None:
    for film, older in (
        ("dawn.mp4", "dawn.v12.mp4"),
        ("dawn", "dawn.v12"),
        ("dawn.wav", "dawn.v12.wav"),
        ("dawn.v2.mov", "dawn.v2.v12.mov"),
    ):
        assert version_name(film, 12) == older
        assert version_of(film, older) == 12
        assert version_of("noon.mp4", older) is None
    assert version_of("dawn.mp4", "dawn.v012.mp4") is None


def spec(out: Path, prompt: str = "a", *names: str, **output: Any) -> dict[str, Any]:
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1, "seed": 7},
        "videos": [
            {"name": name, "chunks": [{"generate": {"prompt": prompt, "num_frames": 9}}]}
            for name in names or ("dawn",)
        ],
        "output": {"dir": str(out), "preset": "ultrafast", **output},
    }


def test_films_and_sequences_are_kept_and_deleted_with_their_job(tmp_path: Path) -> None:
    runs, out = str(tmp_path / "runs"), tmp_path / "out"
    output = {"versions": 2, "deliveries": [{}, {"container": "png-sequence"}]}
    for prompt in ("a", "b", "c"):
        films(spec(out, prompt, **output), runs=runs, serial=True)
    assert sorted(path.name for path in out.iterdir()) == ["dawn", "dawn.mp4", "dawn.v2", "dawn.v2.mp4"]
    assert verify_job(runs, "harbor").ok
    assert sorted(Path(path).name for path in survey_delete(runs, "harbor", films=True).films) == [
        "dawn",
        "dawn.mp4",
        "dawn.v2",
        "dawn.v2.mp4",
    ]
    assert delete_job(runs, "harbor", films=True).deleted
    assert list(out.iterdir()) == []


def test_a_version_that_would_meet_something_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec(tmp_path, "a", "dawn", "Dawn.v2", versions=2))
    (problem,) = error.value.problems
    assert problem.place == "videos[1].name"
    assert "an older film of dawn" in problem.rule
    load_spec(spec(tmp_path, "a", "dawn", "Dawn.v2"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dawn.v1.mp4").write_bytes(b"a holiday")
    with pytest.raises(UsageError, match=r"dawn\.v1\.mp4 exists"):
        next(render(spec(tmp_path / "out", versions=2), runs=str(tmp_path / "runs"), serial=True))


def test_the_date_is_that_of_the_first_render(tmp_path: Path) -> None:
    runs, out = str(tmp_path / "runs"), tmp_path / "out"
    *_, last = render(spec(out), runs=runs, serial=True)
    assert isinstance(last, JobFinished)
    store = Store.at(runs, "harbor")
    state = store.recall(STATE_FORM)
    assert state is not None
    assert len(state.created) == len("2026-11-30")
    store.save(STATE_FORM, replace(state, created="1999-12-31"))
    data = spec(out, name="{video}_{date}_{seed}")
    for _ in range(2):
        (film,) = films(data, runs=runs, serial=True)
        assert Path(film.path).name == "dawn_1999-12-31_7.mp4"
    found = store.recall(STATE_FORM)
    assert found is not None
    assert found.created == "1999-12-31"


def test_a_foreign_file_of_the_date_is_found_first(tmp_path: Path) -> None:
    runs, out = str(tmp_path / "runs"), tmp_path / "out"
    films(spec(out), runs=runs, serial=True)
    state = Store.at(runs, "harbor").recall(STATE_FORM)
    assert state is not None
    foreign = out / f"dawn-{state.created}.mp4"
    foreign.write_bytes(hashlib.sha256(b"a holiday").digest())
    with pytest.raises(UsageError, match=foreign.name):
        next(render(spec(out, name="{video}-{date}"), runs=runs, serial=True))

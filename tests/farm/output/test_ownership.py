"""What a job did not write stays; check, doctor and render say so before anything is rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.api import films, render
from farm.cli.main import run
from farm.events import JobFinished, TaskCommitted
from jobs.errors import StoreUnusable, UsageError
from jobs.store.store import Store

CHUNK = {"generate": {"prompt": "a", "num_frames": 9}}


def spec(out: object, *names: str, job: str = "harbor", **output: Any) -> dict[str, Any]:
    return {
        "name": job,
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": name, "chunks": [CHUNK]} for name in names or ("dawn",)],
        "output": {"dir": str(out), "preset": "ultrafast", **output},
    }


def written(folder: Path, data: dict[str, Any]) -> str:
    (folder / "film.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "film.yaml")


def refused(data: dict[str, Any], runs: Path) -> str:
    """What render says; nothing is computed."""
    with pytest.raises(UsageError) as error:
        assert not [event for event in render(data, runs=str(runs), serial=True) if event]
    (problem,) = error.value.problems
    assert problem.place == "videos[0].name"
    assert problem.value.endswith("exists")
    return f"{problem.value} {problem.rule}"


@pytest.mark.parametrize(
    ("existing", "container"),
    [("dawn.mp4", "mp4"), ("dawn.preview.mp4", "mp4"), ("dawn/holiday.jpg", "png-sequence")],
)
def test_what_somebody_else_wrote_is_found_first_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], existing: str, container: str
) -> None:
    foreign, runs = tmp_path / "out" / existing, tmp_path / "runs"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"a holiday")
    data = spec(tmp_path / "out", container=container)
    assert "no record of it" in refused(data, runs)
    path = written(tmp_path, data)
    assert run(["check", path, "--runs", str(runs)]) == 2
    error = capsys.readouterr().err
    assert "videos[0].name" in error
    assert "move it away" in error
    assert run(["doctor", path, "--runs", str(runs), "--output", "json"]) == 5
    found = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["check"] == "films"]
    assert ["move it away" in each["fix"] for each in found] == [True]
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [foreign]
    assert foreign.read_bytes() == b"a holiday"


def test_its_own_films_are_no_problem(tmp_path: Path) -> None:
    films(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True)
    path = written(tmp_path, spec(tmp_path / "out"))
    assert run(["check", path, "--runs", str(tmp_path / "runs")]) == 0
    assert run(["check", path, "--runs", str(tmp_path / "elsewhere")]) == 2
    assert run(["check", path, "--runs", str(tmp_path / "runs"), "--job-id", "other"]) == 2
    assert run(["doctor", path, "--runs", str(tmp_path / "runs")]) == 0


def test_a_film_that_was_edited_is_kept(tmp_path: Path) -> None:
    data = spec(tmp_path / "out")
    films(data, runs=str(tmp_path / "runs"), serial=True)
    (tmp_path / "out" / "dawn.mp4").write_bytes(b"graded")
    assert "it was changed since it was delivered" in refused(data, tmp_path / "runs")
    assert (tmp_path / "out" / "dawn.mp4").read_bytes() == b"graded"


def test_a_project_that_was_moved_keeps_its_films(tmp_path: Path) -> None:
    before = films(spec(tmp_path / "a" / "out"), runs=str(tmp_path / "a" / "runs"), serial=True)
    (tmp_path / "a").rename(tmp_path / "b")
    after = films(spec(tmp_path / "b" / "out"), runs=str(tmp_path / "b" / "runs"), serial=True)
    assert [film.sha256 for film in before] == [film.sha256 for film in after]


def test_another_jobs_film_is_found_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True)
    other = spec(tmp_path / "out", job="other")
    assert "job harbor delivered a film there" in refused(other, tmp_path / "runs")
    path = written(tmp_path, other)
    assert run(["check", path, "--runs", str(tmp_path / "runs")]) == 2
    assert "job harbor delivered a film there" in capsys.readouterr().err
    assert run(["doctor", path, "--runs", str(tmp_path / "runs")]) == 5


def test_a_film_that_another_job_is_about_to_deliver_is_found_first(tmp_path: Path) -> None:
    """Before there is any file to see."""
    running = render(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True)
    assert any(isinstance(event, TaskCommitted) for event in running)
    assert list((tmp_path / "out").iterdir()) == []
    other = spec(tmp_path / "out", job="other")
    with pytest.raises(UsageError, match="job harbor, which renders now, puts a film there"):
        next(render(other, runs=str(tmp_path / "runs"), serial=True))
    assert run(["check", written(tmp_path, other), "--runs", str(tmp_path / "runs")]) == 2
    running.close()


def test_films_are_listed_in_the_order_of_the_spec(tmp_path: Path) -> None:
    data = spec(tmp_path / "out", "zenith", "dawn", "noon")
    data["videos"][0]["chunks"] = [CHUNK, CHUNK, CHUNK]
    *_, last = render(data, runs=str(tmp_path / "runs"), serial=True)
    assert isinstance(last, JobFinished)
    assert [film["name"] for film in last.state["videos"]] == ["zenith", "dawn", "noon"]
    del data["videos"][0]
    data["videos"].reverse()
    *_, last = render(data, runs=str(tmp_path / "runs"), serial=True)
    assert isinstance(last, JobFinished)
    assert [film["name"] for film in last.state["videos"]] == ["noon", "dawn", "zenith"]


def test_films_do_not_go_into_the_run_directory(tmp_path: Path) -> None:
    data = spec(tmp_path / "runs" / "harbor" / "artifacts")
    with pytest.raises(StoreUnusable, match="run directory"):
        films(data, runs=str(tmp_path / "runs"), serial=True)
    assert Store.at(str(tmp_path / "runs"), "harbor").exists() is False

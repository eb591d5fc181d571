"""Films that go to an object store: the same bytes, whole or not at all, and read back by every verb."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml

from farm.api import films, render
from farm.cli.main import run
from farm.events import FilmDelivered, JobFinished
from farm.report.write import render_page
from farm.verbs.status import job_status
from farm.verbs.verify import verify_job
from jobs.errors import UsageError
from jobs.store.store import Store

GENERATE = {"generate": {"prompt": "a", "num_frames": 17}}
EXTEND = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
numbers = itertools.count()


def spec(out: object, **more: Any) -> dict[str, Any]:
    videos = [{"name": "dawn", "chunks": [GENERATE, EXTEND, EXTEND]}, {"name": "noon", "chunks": [GENERATE]}]
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": videos,
        "output": {"dir": str(out), "preset": "ultrafast"},
        **more,
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of the films of a folder."""
    home = tmp_path_factory.mktemp("local")
    return {
        film.video: film.sha256 for film in films(spec(home / "out"), runs=str(home / "runs"), serial=True)
    }


@pytest.fixture(params=["memory", "s3"])
def out(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return f"memory://films-{next(numbers)}"
    return f"{request.getfixturevalue('s3_url')}/films-{next(numbers)}"


def listed(url: str) -> dict[str, Any]:
    """What stands there, hidden or not, with what changes when it is written again."""
    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    found = system.find(root, detail=True)
    return {
        path.rpartition("/")[2]: str(info.get("LastModified", info.get("created")))
        for path, info in found.items()
    }


def test_a_store_has_the_films_of_a_folder(out: str, tmp_path: Path, local: dict[str, str]) -> None:
    runs, previews = str(tmp_path / "runs"), []
    for event in render(spec(out), runs=runs, serial=True):
        if isinstance(event, FilmDelivered) and event.preview:
            previews.append(event.path)
    assert isinstance(event, JobFinished)
    assert event.outcome == "done"
    assert {film["name"]: film["sha256"] for film in event.state["videos"]} == local
    assert [film["path"] for film in event.state["videos"]] == [f"{out}/dawn.mp4", f"{out}/noon.mp4"]
    assert previews
    assert set(previews) == {f"{out}/dawn.preview.mp4"}
    before = listed(out)
    assert sorted(before) == ["dawn.mp4", "noon.mp4"]
    assert verify_job(runs, "harbor").ok
    assert all(video.present for video in job_status(runs, "harbor").videos)
    assert render_page(Store.find(runs, "harbor")).count("data:image/jpeg") >= 5
    assert [film.sha256 for film in films(spec(out), runs=runs, serial=True)] == list(local.values())
    assert listed(out) == before, "a film that stands is left alone"


def test_what_is_gone_or_altered_is_said(out: str, tmp_path: Path, local: dict[str, str]) -> None:
    runs = str(tmp_path / "runs")
    films(spec(out), runs=runs, serial=True)
    system, root = fsspec.core.url_to_fs(out)
    system.rm_file(f"{root}/dawn.mp4")
    system.pipe_file(f"{root}/noon.mp4", b"graded")
    found = {damage.place: damage.cure for damage in verify_job(runs, "harbor").damage}
    assert "keep it under another name" in found[f"{out}/noon.mp4"]
    assert "assembles it again" in found[f"{out}/dawn.mp4"]
    assert [video.present for video in job_status(runs, "harbor").videos] == [False, True]
    with pytest.raises(UsageError, match=r"noon\.mp4 exists(?s:.*)it was changed"):
        films(spec(out), runs=runs, serial=True)
    assert system.cat_file(f"{root}/noon.mp4") == b"graded"
    system.rm_file(f"{root}/noon.mp4")
    assert {film.video: film.sha256 for film in films(spec(out), runs=runs, serial=True)} == local


def test_what_somebody_else_put_there_stays(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system, root = fsspec.core.url_to_fs(out)
    system.pipe_file(f"{root}/dawn.preview.mp4", b"a holiday")
    with pytest.raises(UsageError, match=r"dawn\.preview\.mp4 exists"):
        films(spec(out), runs=str(tmp_path / "runs"), serial=True)
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(spec(out)))
    assert (
        run(["doctor", str(tmp_path / "film.yaml"), "--runs", str(tmp_path / "runs"), "--output", "json"])
        == 5
    )
    found = {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert found["output"]["level"] == "ok"
    assert "dawn.preview.mp4" in found["films"]["message"]
    assert list(listed(out)) == ["dawn.preview.mp4"]


@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_is_not_there_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(spec("s3://no-such-bucket/films")))
    options = [str(tmp_path / "film.yaml"), "--runs", str(tmp_path / "runs")]
    assert run(["render", *options, "--serial"]) == 5
    assert run(["doctor", *options]) == 5
    assert not list((tmp_path / "runs").glob("*/commits/*"))

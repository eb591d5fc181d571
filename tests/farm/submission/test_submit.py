"""The command that `farm submit` hands to a cluster's job server."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from farm.cli.main import app, run
from farm.submission.submit import SubmitRequest, entrypoint


class Server:
    """Stands for the cluster's job server: remembers what it was handed."""

    handed: Any = None

    def __init__(self, address: str | None) -> None:
        self.address = str(address)

    def submit(self, request: Any) -> str:
        Server.handed = request
        return request.submission_id


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`command(*words)` is what `farm submit /shared/film.yaml *words` has the head run, word by word."""
    monkeypatch.setattr("cluster.job_server.jobs.JobServer", Server)
    monkeypatch.delenv("FARM_RUNS", raising=False)

    def submitted(*words: str) -> list[str]:
        assert run(["submit", "/shared/film.yaml", "--no-wait", *words]) == 0
        return shlex.split(Server.handed.entrypoint)

    return submitted


def test_the_clusters_own_runs_directory_stands(command: Any) -> None:
    assert command() == ["farm", "render", "/shared/film.yaml"]


def test_a_runs_directory_that_is_given_goes_along(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("--runs", "/shared/runs")[3:] == ["--runs", "/shared/runs"]
    monkeypatch.setenv("FARM_RUNS", "s3://bucket/runs")
    assert command()[3:] == ["--runs", "s3://bucket/runs"]


def test_every_option_of_the_render_is_one_that_it_takes(command: Any) -> None:
    words = (
        "--job-id",
        "a",
        "-t",
        "mono=2",
        "--gpus",
        "2",
        "-p",
        "defaults.seed=8",
        "--comfyui",
        "/opt/ComfyUI",
        "--allow-pickle",
        "--resume",
    )
    program, verb, *rest = command(*words)
    assert program == "farm"
    render = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    given = render.make_context(verb, rest).params
    expected = {"job_id": "a", "topology": "mono=2", "gpus": 2, "overrides": ["defaults.seed=8"]}
    assert {key: given[key] for key in expected} == expected
    assert given["comfyui"] == "/opt/ComfyUI"
    assert given["allow_pickle"] is given["resume"] is True


def test_a_relative_spec_means_the_same_place_on_shared_storage() -> None:
    absolute = str(Path("film.yaml").absolute())
    assert shlex.split(entrypoint(SubmitRequest("film.yaml")))[2] == absolute
    assert shlex.split(entrypoint(SubmitRequest("film.yaml", working_dir=".")))[2] == "film.yaml"


SPEC = {"name": "harbor", "engine": {"name": "fake"}, "videos": [{"name": "a", "chunks": []}]}
BOMBS = {
    "laughs.yaml": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    ),
    "deep.yaml": "[" * 100_000,
    "digits.yaml": "name: " + "9" * 5000,
    "nothing.yaml": "",
    "tags.yaml": "name: !!python/object/apply:os.system [ls]",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("words", [("--no-wait",), ("--dry-run",)])
def test_a_hostile_spec_is_answered_before_anything_is_submitted(
    name: str,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("cluster.job_server.jobs.JobServer", Server)
    Server.handed = None
    (tmp_path / name).write_text(BOMBS[name])
    assert run(["submit", str(tmp_path / name), *words]) == 2
    assert Server.handed is None
    assert "remedy: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["../../up", "a b", "-rf", "x" * 100, "a\x1b[31m", "", 3, None, ["a"], "a/b", "a;ls", ".."]
)
def test_a_name_that_is_none_never_becomes_an_id(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.job_server.jobs.JobServer", Server)
    Server.handed = None
    path = tmp_path / "film.json"
    path.write_text(json.dumps({**SPEC, "name": name}))
    assert run(["submit", str(path), "--no-wait"]) == 2
    assert "  name: " in capsys.readouterr().err
    if isinstance(name, str) and name and len(name) < 100:
        assert run(["submit", "/nowhere/film.yaml", "--no-wait", "--job-id", str(name)]) == 2
    assert Server.handed is None


@pytest.mark.parametrize("spec", ["/nowhere/fi lm;x.yaml", "/nowhere/\x1b[31m.yaml", "/nowhere/..yaml"])
@pytest.mark.usefixtures("command")
def test_an_id_that_is_made_of_a_file_name_is_plain(spec: str) -> None:
    assert run(["submit", spec, "--no-wait"]) == 0
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", Server.handed.submission_id)


@pytest.mark.usefixtures("command")
def test_the_name_is_that_of_the_overrides_and_of_the_upload(tmp_path: Path) -> None:
    (tmp_path / "film.json").write_text(json.dumps(SPEC))
    words = ("submit", "film.json", "--working-dir", str(tmp_path), "--no-wait")
    assert run(words) == 0
    assert Server.handed.submission_id.startswith("harbor-2")
    assert run([*words, "-p", "name=noon"]) == 0
    assert Server.handed.submission_id.startswith("noon-2")


def test_it_says_which_spec_the_job_renders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.job_server.jobs.JobServer", Server)
    assert run(["submit", "/shared/film.yaml", "--no-wait"]) == 0
    said = capsys.readouterr().out
    assert "it renders /shared/film.yaml as it stands when the job begins, edits since" in said


def test_a_dry_run_checks_all_and_submits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.job_server.jobs.JobServer", None)
    chunks = [{"generate": {"prompt": "p", "num_frames": 9}}]
    good = {**SPEC, "videos": [{"name": "a", "chunks": chunks}]}
    path = tmp_path / "film.json"
    path.write_text(json.dumps(good))
    words = ["submit", str(path), "--dry-run"]
    before = sorted(tmp_path.rglob("*"))
    assert run([*words, "-t", "mono"]) == 0
    said = capsys.readouterr().out
    assert "nothing was submitted" in said
    assert f"farm render {path} --topology mono" in said
    assert run([*words, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == f"farm render {path}"
    assert run([*words, "-p", "defaults.steps=0"]) == 2
    assert "defaults.steps" in capsys.readouterr().err
    assert run([*words, "-t", "sample=1"]) == 2
    path.write_text(json.dumps(SPEC))
    assert run(words) == 2
    assert "videos[0].chunks" in capsys.readouterr().err
    assert run(["submit", "/nowhere/film.yaml", "--dry-run"]) == 0
    assert "not on this machine" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before

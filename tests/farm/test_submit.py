"""The command that `farm submit` hands to a cluster's job server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from farm.cli.main import app, run
from farm.submit import SubmitRequest, entrypoint


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
    monkeypatch.setattr("cluster.jobs.JobServer", Server)
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

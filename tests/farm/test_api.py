"""Options and errors of the Python API."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import farm
from jobs.errors import UsageError
from jobs.tasks.task import Stage

ROOT = Path(__file__).parents[2]


def spec(home: Path, **engine: Any) -> dict[str, Any]:
    chunks = [{"generate": {"prompt": "a", "num_frames": 9}}]
    return {
        "name": "short",
        "engine": {"name": "fake", "fake": engine},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "v", "chunks": chunks}],
        "output": {"dir": str(home / "out")},
    }


@pytest.mark.parametrize(
    ("options", "place", "remedy"),
    [
        ({"until": "paint"}, "until", "name a stage"),
        ({"gpus": "2"}, "gpus", "gpus=2"),
        ({"gpus": -1}, "gpus", "gpus=2"),
        ({"gpus": True}, "gpus", "gpus=2"),
        ({"overrides": "defaults.seed=8"}, "overrides", 'overrides=["defaults.seed=8"]'),
        ({"overrides": {"defaults.seed": 8}}, "overrides", "overrides=["),
        ({"runs": None}, "runs", "leave it out"),
        ({"serial": 1}, "serial", "one of these"),
        ({"topology": 2}, "topology", "text"),
        ({"serial": True, "topology": "foo"}, "topology", "leave out"),
        ({"serial": True, "gpus": 2}, "gpus", "leave out"),
        ({"serial": True, "address": "auto"}, "address", "leave out"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(
    tmp_path: Path, options: dict[str, Any], place: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        farm.render(spec(tmp_path), **{"runs": tmp_path / "runs", **options})
    (problem,) = caught.value.problems
    assert problem.place == place
    assert remedy in problem.remedy
    assert problem.rule
    assert problem.value
    assert not (tmp_path / "runs").exists()


def test_options_are_given_once(tmp_path: Path) -> None:
    options = farm.RenderOptions(runs=tmp_path, serial=True)
    for start in (farm.render, farm.films):
        with pytest.raises(UsageError, match="either a RenderOptions or its fields"):
            start(spec(tmp_path), options, until="encode")


@pytest.mark.parametrize("source", [None, 5])
def test_what_is_no_spec_is_refused(source: Any) -> None:
    with pytest.raises(UsageError, match="the path of a spec"):
        farm.render(source, serial=True)


def test_runs_may_be_a_path_and_a_stage_a_word(tmp_path: Path) -> None:
    *_, last = farm.render(spec(tmp_path), runs=tmp_path / "runs", serial=True, until="encode")
    assert isinstance(last, farm.JobFinished)
    assert last.outcome == "stopped_early"
    assert (tmp_path / "runs" / "short").is_dir()
    assert farm.RenderOptions(until="encode").last_stage is Stage.ENCODE


def test_a_failed_job_tells_its_causes(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00000/sample", "do": "raise"}]}))
    with pytest.raises(farm.JobFailed) as caught:
        farm.films(spec(tmp_path, faults=str(script)), runs=tmp_path / "runs", serial=True)
    (cause,) = caught.value.causes
    assert cause.startswith("v/00000/sample (bug): ")
    assert cause in str(caught.value)
    assert f"`farm why short --runs {tmp_path / 'runs'}` says more" in str(caught.value)


def test_the_example_program_fails_where_the_job_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where one film of two is there: it is named, and the program ends as `farm render` would."""
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00000/sample", "do": "raise"}]}))
    document = spec(tmp_path, faults=str(script))
    document["videos"].append({**document["videos"][0], "name": "w"})
    monkeypatch.setattr(farm, "render", partial(farm.render, serial=True))
    program = runpy.run_path(str(ROOT / "examples" / "driver.py"))
    with pytest.raises(farm.JobFailed, match="ended partial"):
        program["main"](document, tmp_path / "runs")
    assert f"{tmp_path / 'out' / 'w.mp4'} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"), [([], "usage: python"), (["no.yaml"], "error: no.yaml: does not exist")]
)
def test_the_example_program_explains_a_wrong_argument(tmp_path: Path, words: list[str], said: str) -> None:
    command = [sys.executable, str(ROOT / "examples" / "driver.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr

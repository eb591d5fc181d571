"""One wrong use of each command: exit code 2, with place, value, rule and remedy, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from farm.cli.results import result_schema

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm, Rendered

WRONG = {
    "init": ["init", "film.yaml"],
    "init folder": ["init", "."],
    "init name": ["init", "b.yaml", "--name", "b\u00f6se/../x"],
    "init nowhere": ["init", "nowhere/film.yaml"],
    "schema": ["schema", "statuss"],
    "check": ["check", "nowhere.yaml"],
    "plan": ["plan", "film.yaml", "--topology", "sampel=2"],
    "plan too large": ["plan", "film.yaml", "--gpus", "1", "--topology", "sample=2,decode=1"],
    "plan price": ["plan", "film.yaml", "--gpu-hour-cost", "cheap"],
    "doctor": ["doctor", "film.yaml", "-p", "defaults.widht=64"],
    "render": ["render", "film.yaml", "--serial", "-p", "defaults.width=65"],
    "render until": ["render", "film.yaml", "--until", "film"],
    "render serial on a cluster": ["render", "film.yaml", "--serial", "--address", "ray://head:10001"],
    "resume serial on GPUs": ["resume", "harbor", "--serial", "--gpus", "2"],
    "render twice": ["render", "film.yaml", "noon.yaml"],
    "submit": ["submit"],
    "list": ["list", "--run", "runs"],
    "status": ["status", "habor"],
    "logs": ["logs", "harbor", "--task", "dawn/9/sample"],
    "why": ["why", "harbor", "dusk/0/sample"],
    "pause": ["pause", "harbor"],
    "resume": ["resume", "harbr"],
    "cancel": ["cancel", "harbor"],
    "retry": ["retry", "harbor", "--videos", "dusk"],
    "retry nothing": ["retry", "harbor"],
    "retry all and some": ["retry", "harbor", "--all", "--videos", "dawn"],
    "retry chunks": ["retry", "harbor", "--chunks", "3-x"],
    "retry state": ["retry", "harbor", "--state", "broken"],
    "verify": ["verify", "harbour"],
    "report": ["report", "harbour"],
    "nodes": ["nodes", "install"],
    "command": ["rendr", "film.yaml"],
    "option": ["render", "film.yaml", "--seral"],
    "output": ["list", "--output", "xml"],
}
REMEDY = {
    "init": "--force",
    "schema": "name one",
    "plan": "sample=2,upscale=1,decode=1",
    "doctor": "width",
    "render": "64",
    "render until": "name a stage",
    "render serial on a cluster": "leave out --address or --serial",
    "resume serial on GPUs": "leave out --gpus or --serial",
    "status": "harbor",
    "logs": "dawn/",
    "why": "did you mean",
    "pause": "farm status",
    "resume": "harbor",
    "retry": "dawn",
    "retry nothing": "--dry-run",
    "init folder": "film.yaml",
    "init name": "write 'b-se-..-x'",
    "init nowhere": "make its folder",
    "plan too large": "larger `--gpus`",
    "verify": "harbor",
    "nodes": "--comfyui",
    "option": "--serial",
}


@pytest.fixture(autouse=True)
def place(rendered: Rendered, spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  for its effect
    monkeypatch.chdir(spec.parent)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use(farm: Farm, case: str) -> None:
    answer = farm(*WRONG[case])
    said = answer.out + answer.err
    assert answer.code == 2, said
    assert answer.out == ""
    assert "rule:" in answer.err
    assert "remedy:" in answer.err
    assert "Traceback" not in said
    assert REMEDY.get(case, "") in answer.err


@pytest.mark.parametrize("case", [case for case in WRONG if case != "output"])
def test_wrong_use_for_programs(farm: Farm, case: str) -> None:
    answer = farm(*WRONG[case], "--output", "json")
    assert answer.code == 2
    record = json.loads(answer.out)
    jsonschema.validate(record, result_schema("error"))
    assert all(problem[key] for problem in record["problems"] for key in ("place", "value", "rule", "remedy"))


def test_an_option_that_there_is_not_is_what_stands_there(farm: Farm) -> None:
    answer = farm("why", "harbor", "--nonsense", "--runs", "runs")
    assert "farm why: '--nonsense'" in answer.err
    assert "`farm why --help` lists" in answer.err


def test_every_mistake_at_once(farm: Farm) -> None:
    answer = farm("check", "film.yaml", "-p", "defaults.width=65", "-p", "defaults.height=1")
    assert answer.code == 2
    assert "2 problems" in answer.err

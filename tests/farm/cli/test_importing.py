"""`farm import` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.farm.cli.conftest import Farm

EXAMPLE = Path(__file__).parents[3] / "examples" / "comfyui" / "long_take_api.json"


def test_a_workflow_becomes_a_spec_that_has_no_mistakes(farm: Farm, tmp_path: Path) -> None:
    spec = tmp_path / "take.yaml"
    answer = farm("import", EXAMPLE, spec)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{spec}: 1 film, 3 chunks\nnext: farm check {spec}\n"
    assert farm("check", spec).code == 0
    refused = farm("import", EXAMPLE, spec)
    assert refused.code == 2
    assert "--force" in refused.err
    assert farm("import", EXAMPLE, spec, "--force").code == 0


def test_the_spec_is_called_after_the_workflow(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert farm("import", EXAMPLE).code == 0
    assert (tmp_path / "long_take_api.yaml").is_file()


def test_what_the_spec_cannot_say_is_told_with_exit_code_3(farm: Farm, tmp_path: Path) -> None:
    workflow = json.loads(EXAMPLE.read_text())
    workflow["8"] = {"class_type": "STGGuider", "inputs": {}}
    workflow["5"]["inputs"]["guider"] = ["8", 0]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(workflow))
    answer = farm("import", path, tmp_path / "mine.yaml")
    assert answer.code == 3
    assert "5.guider: STGGuider (node 8): has no counterpart" in answer.err
    told = farm("import", path, tmp_path / "other.yaml", "-o", "json")
    assert told.code == 3
    assert told.json["whole"] is False
    assert told.json["gaps"][0]["place"] == "5.guider"


def test_what_the_editor_saves_is_refused(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"nodes": [], "links": []}')
    answer = farm("import", path)
    assert answer.code == 2
    assert "Workflow > Export (API)" in answer.err

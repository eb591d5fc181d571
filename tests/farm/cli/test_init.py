"""`farm init`: a spec that its own next step takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.loading.load import load_spec

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm


@pytest.mark.parametrize("file", ["a.yaml", "b.json", "2026.yaml", "no.yaml"])
def test_the_spec_loads_and_its_film_is_called_after_the_file(farm: Farm, tmp_path: Path, file: str) -> None:
    path = tmp_path / file
    assert farm("init", path).code == 0
    spec = load_spec(path).spec
    assert (spec.name, spec.videos[0].name) == (path.stem, path.stem)
    answer = farm("check", path)
    assert (answer.code, answer.err) == (0, "")


def test_its_commented_fields_are_fields(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    farm("init", path)
    text = path.read_text()
    for start in ("- {name: answer", "images:", "- {file:", "mix:", "matrix:", "deliveries:"):
        assert text.count(f"# {start}") == 1
        text = text.replace(f"# {start}", start)
    path.write_text(text)
    for file in ("first.png", "turn.png", "score.wav"):
        (tmp_path / file).touch()
    spec = load_spec(path).spec
    (video,) = spec.videos
    assert (len(video.shots), len(video.sound), len(spec.output.deliveries)) == (2, 2, 2)


def test_json_is_json(farm: Farm, tmp_path: Path) -> None:
    farm("init", tmp_path / "a.json", "--name", "job")
    data = json.loads((tmp_path / "a.json").read_text())
    assert (data["name"], data["videos"][0]["name"]) == ("job", "a")


def test_a_name_that_had_to_be_changed_is_told(farm: Farm, tmp_path: Path) -> None:
    path = tmp_path / "my film.yaml"
    answer = farm("init", path)
    assert answer.out.splitlines()[0] == f"{path}: the job is called my-film"
    assert f"farm check '{path}'" in answer.out

"""The command line in this process, and a job that was rendered with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.cli.main import run
from tools.golden_run import moved

JOB = "harbor"
GENERATE = {"generate": {"prompt": "a harbor at dawn", "num_frames": 17}}
EXTEND = {"extend": {"prompt": "the fog lifts", "num_new_frames": 16, "overlap_frames": 16}}


def document(out: Path, **changes: Any) -> dict[str, Any]:
    """A job of two films on the fake engine: three chained chunks, and one."""
    return {
        "version": 1,
        "name": JOB,
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 2},
        "videos": [
            {"name": "dawn", "chunks": [GENERATE, EXTEND, EXTEND]},
            {"name": "noon", "chunks": [GENERATE]},
        ],
        "output": {"dir": str(out)},
        **changes,
    }


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Farm = Callable[..., Answer]


@pytest.fixture
def farm(capsys: pytest.CaptureFixture[str]) -> Farm:
    """Runs one command."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec file."""
    path = tmp_path / "film.yaml"
    path.write_text(yaml.safe_dump(document(tmp_path / "out")))
    return path


@dataclass(frozen=True)
class Rendered:
    """A finished job: its runs directory and spec file."""

    runs: Path
    spec: Path

    @property
    def folder(self) -> Path:
        return self.runs / JOB


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("rendered")
    (home / "film.yaml").write_text(yaml.safe_dump(document(home / "out")))
    code = run(["render", str(home / "film.yaml"), "--serial", "--runs", str(home / "runs")])
    assert code == 0
    return home


@pytest.fixture
def rendered(template: Path, tmp_path: Path) -> Rendered:
    """A copy of a finished job, of its films and its spec, as if it had been rendered where it is."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    moved(tmp_path, str(template), str(tmp_path))
    return Rendered(tmp_path / "runs", tmp_path / "film.yaml")

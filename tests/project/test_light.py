"""A light install, without torch, Ray and diffusers: what only looks and asks works, what renders says what
to type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.light_install import answers
from tools.golden_run import DONE_JOB, HOME, ROOT, moved

REPOSITORY = Path(__file__).parents[2]
DEMO = "examples/demo.yaml"
"""A copy: beside the repository's own lies the film of whoever has rendered it."""
LIGHT = (
    ("check", DEMO),
    ("plan", DEMO, "--gpus", "4"),
    ("plan", "ahead.yaml", "--gpus", "4", "--gpu-memory", "80"),
    ("schema",),
    ("recipes",),
    ("list",),
    ("status", DONE_JOB),
    ("logs", DONE_JOB),
    ("why", DONE_JOB),
    ("verify", DONE_JOB),
    ("report", DONE_JOB),
    ("retry", DONE_JOB, "--all", "--dry-run"),
    ("prune",),
    ("submit", DEMO, "--dry-run"),
)
RENDERING = (
    (("render", DEMO), "torch, diffusers, ray"),
    (("render", DEMO, "--serial"), "torch, diffusers"),
    (("render", "fake.yaml"), "ray"),
    (("selftest", "--checkpoint", "model.safetensors"), "torch, diffusers"),
)
FAKE = """
name: light
engine: {name: fake}
defaults: {width: 64, height: 64, steps: 1}
videos: [{name: dawn, chunks: [{generate: {prompt: a pier, num_frames: 9}}]}]
"""
AHEAD = """
name: ahead
recipe: ltx-2.3-distilled
videos: [{name: dawn, chunks: [{generate: {prompt: a pier}}]}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spec and the runs of an earlier version."""
    shutil.copytree(HOME / "0.1.0", tmp_path, dirs_exist_ok=True)
    moved(tmp_path, ROOT, str(tmp_path))
    (tmp_path / "fake.yaml").write_text(FAKE)
    (tmp_path / "ahead.yaml").write_text(AHEAD)
    (tmp_path / DEMO).parent.mkdir()
    shutil.copy(REPOSITORY / DEMO, tmp_path / DEMO)
    return tmp_path


def test_what_looks_and_asks_works(folder: Path) -> None:
    told = answers(folder, *LIGHT)
    assert [(words, *answer) for words, answer in zip(LIGHT, told, strict=True) if answer[0] != 0] == []


def test_what_renders_says_what_to_type_before_anything_is_written(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    told = answers(folder, *(words for words, _ in RENDERING))
    assert told == [
        (
            5,
            "",
            f"error: this needs {packages}, which a light install lacks: pip install 'ltx-farm[render]'\n",
        )
        for _, packages in RENDERING
    ]
    assert sorted(folder.rglob("*")) == before


def test_doctor_names_the_command_for_each_package(folder: Path) -> None:
    ((code, out, _),) = answers(folder, ("doctor", "fake.yaml", "-o", "json"))
    failed = {
        found["check"]: found["fix"] for found in json.loads(out)["findings"] if found["level"] == "fail"
    }
    assert (code, failed) == (5, dict.fromkeys(("ray", "torch"), "pip install 'ltx-farm[render]'"))


def test_the_fake_engine_renders_in_one_process(folder: Path) -> None:
    ((code, _, err),) = answers(folder, ("render", "fake.yaml", "--serial"))
    assert code == 0, err
    assert (folder / "out" / "dawn.mp4").is_file()

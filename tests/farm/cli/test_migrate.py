"""`farm migrate` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm, Rendered

OLD = """\
version: 1
name: harbor   # ours
engine: {name: fake, comfyui: /opt/ComfyUI}
videos: [{name: dawn, chunks: [{generate: {prompt: p, num_frames: 9}}]}]
"""
NEW = OLD.replace("1", "3", 1).replace(", comfyui: /opt/ComfyUI", "")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "film.yaml"
    path.write_text(OLD)
    path.chmod(0o640)
    return path


def test_the_file_is_rewritten_whole_and_says_what_left(farm: Farm, old: Path) -> None:
    answer = farm("migrate", old)
    assert (answer.code, old.read_text(), old.stat().st_mode & 0o777) == (0, NEW, 0o640)
    instead = "give --comfyui /opt/ComfyUI or set COMFYUI_PATH=/opt/ComfyUI"
    assert answer.out == (
        f'{old}: rewritten for version 3\n  engine.comfyui: "/opt/ComfyUI" left the spec: {instead}\n'
    )
    assert list(old.parent.iterdir()) == [old]
    assert farm("migrate", old).out == f"{old}: nothing to change; the newest version is 3\n"
    assert farm("check", old).code == 0


def test_a_link_stays_one(farm: Farm, old: Path) -> None:
    link = old.with_name("linked.yaml")
    link.symlink_to(old)
    assert farm("migrate", link).code == 0
    assert (link.is_symlink(), old.read_text()) == (True, NEW)


def test_a_dry_run_shows_the_changes_and_makes_none(farm: Farm, old: Path) -> None:
    answer = farm("migrate", old, "--dry-run")
    assert (answer.code, old.read_text()) == (0, OLD)
    assert "-version: 1\n" in answer.out
    assert "+version: 3\n" in answer.out


def test_what_check_says_of_an_old_spec_names_it(farm: Farm, old: Path) -> None:
    answer = farm("check", old)
    assert answer.code == 2
    assert "remove it, as `farm migrate` does, and give --comfyui /opt/ComfyUI" in answer.err


def test_a_file_that_cannot_be_replaced_stays(farm: Farm, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    answer = farm("migrate", old)
    assert (answer.code, old.read_text()) == (2, OLD)
    assert "No space left on device" in answer.err
    assert list(old.parent.iterdir()) == [old]


def test_a_job_takes_its_migrated_spec_for_the_one_it_was_made_of(farm: Farm, rendered: Rendered) -> None:
    data = yaml.safe_load(rendered.spec.read_text())
    rendered.spec.write_text(yaml.safe_dump({**data, "version": 1}, sort_keys=False))
    words = ("render", rendered.spec, "--serial", "--runs", rendered.runs)
    assert farm(*words).code == 0
    assert farm("migrate", rendered.spec).code == 0
    answer = farm(*words)
    assert answer.code == 0
    assert "differs" not in answer.out + answer.err

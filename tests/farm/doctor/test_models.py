from __future__ import annotations

from pathlib import Path

from actors.models import TINY_CHECKPOINT
from farm.doctor.models import check_models
from jobs.spec.engine import EngineConfig
from tests.farm.doctor.conftest import Doctor, film, found
from tests.official.files import RELEASES, single_file, write_sparse


def test_the_bundled_model(doctor: Doctor) -> None:
    assert TINY_CHECKPOINT.name in found(doctor(), "models", "ok")["message"]


def test_a_whole_file(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.symlink_to(TINY_CHECKPOINT)
    report = doctor(film(tmp_path, engine={"checkpoint": str(path)}))
    assert str(path) in found(report, "models", "ok")["message"]
    assert "hours" in found(report, "gpu", "warn")["message"]


def test_a_file_that_was_not_copied_whole(tmp_path: Path) -> None:
    """As one that was downloaded by its hub id: files that a spec names are seen while it is checked."""
    path = tmp_path / "m.safetensors"
    path.write_bytes(TINY_CHECKPOINT.read_bytes()[:-1])
    (finding,) = check_models(EngineConfig(checkpoint=str(path)))
    assert finding.level == "fail"
    assert "not copied whole" in finding.message
    assert "download" in finding.fix


def test_a_file_that_vanished_after_the_check(tmp_path: Path) -> None:
    (finding,) = check_models(EngineConfig(checkpoint=str(tmp_path / "gone.safetensors")))
    assert finding.level == "fail"
    assert "engine.checkpoint" in finding.message


def test_a_model_of_another_build_is_found_before_the_render(tmp_path: Path) -> None:
    """The header shows it, but only beside the modules: a layer too few."""
    entries = single_file(RELEASES["ltx-video-2b-v0.9.5.safetensors"])
    del entries["vae.decoder.up_blocks.6.res_blocks.4.conv1.conv.weight"]
    path = write_sparse(tmp_path / "m.safetensors", entries)
    *_, fault = check_models(EngineConfig(checkpoint=str(path)))
    assert fault.level == "fail"
    assert "is missing" in fault.message
    assert "engine.checkpoint" in fault.message

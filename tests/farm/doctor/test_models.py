from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.models import TINY_CHECKPOINT
from actors.payload import Payload, pack
from farm.doctor.models import check_models
from jobs.spec import EngineConfig
from tests.farm.doctor.conftest import Doctor, film, found


def weights(path: Path) -> Path:
    """A small but whole `.safetensors`."""
    path.write_bytes(pack(Payload({"a": np.zeros((64, 64), np.float32)}, {})))
    return path


def engine(path: Path, name: str = "diffusers") -> dict[str, str]:
    return {"name": name, "checkpoint": str(path)}


def test_the_bundled_model(doctor: Doctor) -> None:
    assert TINY_CHECKPOINT.name in found(doctor(), "models", "ok")["message"]


def test_a_whole_file(doctor: Doctor, tmp_path: Path) -> None:
    path = weights(tmp_path / "m.safetensors")
    report = doctor(film(tmp_path, engine=engine(path)))
    assert str(path) in found(report, "models", "ok")["message"]
    assert "hours" in found(report, "gpu", "warn")["message"]


def test_a_file_that_was_not_copied_whole(tmp_path: Path) -> None:
    """As one that was downloaded by its hub id: files that a spec names are seen while it is checked."""
    path = weights(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    (finding,) = check_models(EngineConfig(checkpoint=str(path)))
    assert finding.level == "fail"
    assert "not copied whole" in finding.message and "download" in finding.fix


def test_a_file_that_vanished_after_the_check(tmp_path: Path) -> None:
    (finding,) = check_models(EngineConfig(checkpoint=str(tmp_path / "gone.safetensors")))
    assert finding.level == "fail"
    assert "engine.checkpoint" in finding.message

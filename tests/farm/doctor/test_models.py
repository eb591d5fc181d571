from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.models import TINY_CHECKPOINT
from actors.payload import Payload, pack
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


def test_an_empty_file(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.touch()
    finding = found(doctor(film(tmp_path, engine=engine(path))), "models", "fail")
    assert "is empty" in finding["message"] and "download" in finding["fix"]


def test_a_file_that_was_not_copied_whole(doctor: Doctor, tmp_path: Path) -> None:
    path = weights(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    assert (
        "not copied whole" in found(doctor(film(tmp_path, engine=engine(path))), "models", "fail")["message"]
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<!doctype html><title>Sign in</title>", "no safetensors file"),
        (b"\x10\0\0\0\0\0\0\0" + b"[1, 2, 3, 4, 5] ", "no safetensors file"),
        (b"\0" * 4, "no safetensors file"),
    ],
)
def test_a_file_that_is_something_else(doctor: Doctor, tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    assert fault in found(doctor(film(tmp_path, engine=engine(path))), "models", "fail")["message"]


def test_a_file_that_cannot_be_read(doctor: Doctor, tmp_path: Path) -> None:
    """The memory of a process stands for a bad sector: opening works, reading does not."""
    path = tmp_path / "m.safetensors"
    path.symlink_to("/proc/self/mem")
    finding = found(doctor(film(tmp_path, engine=engine(path, "comfyui"))), "models", "fail")
    assert "Input/output error" in finding["message"]
    assert "permissions" in finding["fix"]


def test_an_empty_folder(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    finding = found(doctor(film(tmp_path, engine=engine(tmp_path / "model"))), "models", "fail")
    assert "empty folder" in finding["message"]


def test_a_file_that_vanished_after_the_check(tmp_path: Path) -> None:
    from farm.doctor.models import check_models
    from jobs.spec import EngineConfig

    (finding,) = check_models(EngineConfig(checkpoint=str(tmp_path / "gone.safetensors")))
    assert finding.level == "fail"
    assert "engine.checkpoint" in finding.message

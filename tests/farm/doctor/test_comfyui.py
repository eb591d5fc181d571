from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from farm.doctor.comfyui import needed_features
from jobs.spec.job import JobSpec
from tests.farm.doctor.conftest import Doctor, film, found

GENERATE = {"generate": {"prompt": "a", "num_frames": 17}}
EXTEND = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16}}
COMFYUI = {"name": "comfyui", "checkpoint": "ltxv.safetensors"}


def test_no_comfyui_is_named(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    finding = found(doctor(film(tmp_path, engine=COMFYUI)), "comfyui", "fail")
    assert "COMFYUI_PATH" in finding["fix"]


def test_a_folder_that_is_no_comfyui(doctor: Doctor, tmp_path: Path) -> None:
    finding = found(doctor(None, "--comfyui", tmp_path), "comfyui", "fail")
    assert "main.py" in finding["message"]
    assert "--comfyui" in finding["fix"]


def test_a_comfyui_that_does_not_start(doctor: Doctor, tmp_path: Path) -> None:
    """Its core raises, as one whose packages are missing does."""
    (tmp_path / "main.py").touch()
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "__init__.py").write_text("raise ImportError('No module named torchsde')")
    finding = found(doctor(None, "--comfyui", tmp_path), "comfyui", "fail")
    assert "does not start" in finding["message"]
    assert "pip install" in finding["fix"]


def test_models_by_name(doctor: Doctor, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "main.py").touch()
    missing = found(doctor(film(tmp_path, engine=COMFYUI), "--comfyui", tmp_path), "models", "warn")
    assert "extra_model_paths.yaml" in missing["fix"]
    (folder / "ltxv.safetensors").touch()
    assert found(doctor(film(tmp_path, engine=COMFYUI), "--comfyui", tmp_path), "models", "ok")


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, set()),
        ({"upscale": {"steps": 2}}, {"upscale"}),
        ({"defaults": {"guider": {"name": "stg", "params": {"blocks": [1]}}}}, {"stg"}),
        ({"defaults": {"guider": {"name": "stg", "params": {"modality": 3.0}}}}, {"stg", "guiders"}),
        ({"videos": [{"name": "v", "chunks": [GENERATE, EXTEND]}]}, {"guides"}),
        ({"videos": [{"name": "v", "chunks": [GENERATE], "sound": [{"generate": True}]}]}, {"audio"}),
    ],
)
def test_features_that_a_spec_needs(tmp_path: Path, changes: dict[str, Any], needed: set[str]) -> None:
    spec = JobSpec.model_validate(film(tmp_path, **changes))
    assert needed_features(spec) == {"sampling", *needed}


@pytest.mark.comfyui
def test_a_real_comfyui(doctor: Doctor) -> None:
    """Every checkout can sample; what else its core lacks is named with the version that has it."""
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    report = doctor(None, "--comfyui", os.environ["COMFYUI_PATH"])
    assert not any(finding["level"] == "fail" for finding in report)
    assert found(report, "comfyui", "ok")
    lacks = [finding["message"] for finding in report if finding["level"] == "warn"]
    assert all("and later have it" in message for message in lacks if "lacks" in message)


@pytest.mark.parametrize(
    ("own", "needed"),
    [
        ((), set()),
        (("audio_adaln_single.linear.weight",), {"ltx-2"}),
        (("audio_adaln_single.linear.weight", "keyframes_abs_pos_embedding"), {"ltx-2", "ltx-2.5"}),
    ],
    ids=["ltx-video", "2.0", "2.5"],
)
def test_features_that_a_model_needs(tmp_path: Path, own: tuple[str, ...], needed: set[str]) -> None:
    """Which core runs it is known from its header."""
    names = ("transformer_blocks.0.attn1.to_q.weight", "patchify_proj.weight", *own)
    model = tmp_path / "model.safetensors"
    save_file({f"model.diffusion_model.{name}": np.zeros((8, 8), np.float32) for name in names}, model)
    spec = JobSpec.model_validate(film(tmp_path, engine={"name": "comfyui", "checkpoint": str(model)}))
    assert needed_features(spec) == {"sampling", *needed}

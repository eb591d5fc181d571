"""Model files that a spec names are read by their headers while it is checked."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from actors.models import TINY_CHECKPOINT
from jobs.errors import Problem, SpecError
from jobs.loading.load import load_spec
from jobs.rules.model_files import model_fault


def problems(engine: dict[str, Any]) -> tuple[Problem, ...]:
    video = {"name": "v", "chunks": [{"generate": {"prompt": "p"}}]}
    try:
        load_spec({"name": "x", "engine": engine, "videos": [video]})
    except SpecError as error:
        return error.problems
    return ()


def weights(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.zeros((8, 8), np.float32), "b": np.zeros(4, np.float16)}, path)
    return path


def with_header(path: Path, header: Any, data: bytes = b"\0" * 16) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("engine", ["diffusers", "comfyui"])
def test_whole_files_and_folders_pass(tmp_path: Path, engine: str) -> None:
    assert problems({"name": engine, "checkpoint": str(TINY_CHECKPOINT)}) == ()
    weights(tmp_path / "model" / "transformer" / "part.safetensors")
    weights(tmp_path / "model" / "vae" / "part.safetensors")
    assert model_fault(tmp_path / "model") == ""


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"<!doctype html><title>Sign in</title>", "no safetensors file"),
        (b"\x10\0\0\0\0\0\0\0" + b"[1, 2, 3, 4, 5] ", "no safetensors file"),
        (b"\0" * 4, "no safetensors file"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    (problem,) = problems({"name": "comfyui", "checkpoint": str(path)})
    assert problem.place == "engine.checkpoint"
    assert fault in problem.value
    assert "again" in problem.remedy


@pytest.mark.parametrize("cut", [1, 100])
def test_a_file_that_was_not_copied_whole(tmp_path: Path, cut: int) -> None:
    path = weights(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-cut])
    (problem,) = problems({"loras": [{"path": str(path)}]})
    assert problem.place == "engine.loras[0].path"
    assert "not copied whole" in problem.value


@pytest.mark.parametrize(
    "header",
    [
        {"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])},
        {"a": ("F32", [2], [0, 8]), "b": ("F32", [1], [12, 16])},
        {"a": ("F32", [2], [0, 16])},
        {"a": ("F32", [4], [8, 0])},
    ],
    ids=["overlap", "gap", "too long", "backwards"],
)
def test_tensors_that_do_not_lie_side_by_side(tmp_path: Path, header: dict[str, Any]) -> None:
    entries = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": at}
        for name, (dtype, shape, at) in header.items()
    }
    path = with_header(tmp_path / "m.safetensors", entries)
    (problem,) = problems({"name": "comfyui", "vae": str(path), "checkpoint": str(TINY_CHECKPOINT)})
    assert problem.place == "engine.vae"
    assert "is damaged" in problem.value


@pytest.mark.parametrize(
    "entry",
    [
        1,
        {},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": 4, "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": None, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0.5, "4"]},
    ],
)
def test_entries_that_describe_no_tensor(tmp_path: Path, entry: Any) -> None:
    path = with_header(tmp_path / "m.safetensors", {"a": entry})
    (problem,) = problems({"name": "comfyui", "checkpoint": str(path)})
    assert "no safetensors file" in problem.value


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "model" / "transformer"
    weights(folder / "a-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "a-00001-of-00002.safetensors", "c": "a-00002-of-00002.safetensors"}}
    (folder / "a.safetensors.index.json").write_text(json.dumps(index))
    (problem,) = problems({"checkpoint": str(tmp_path / "model")})
    assert "a-00002-of-00002.safetensors, which is not there" in problem.value


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The memory of a process stands for a bad sector: opening works, reading does not."""
    path = tmp_path / "m.safetensors"
    path.symlink_to("/proc/self/mem")
    (problem,) = problems({"name": "comfyui", "checkpoint": str(path)})
    assert "Input/output error" in problem.value


def test_folders_and_files_that_hold_no_weights(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "notes.txt").write_text("weights are elsewhere")
    (problem,) = problems({"checkpoint": str(tmp_path / "model")})
    assert "holds no .safetensors" in problem.value
    (problem,) = problems({"name": "comfyui", "checkpoint": str(tmp_path / "notes.txt")})
    assert "of no kind that holds weights" in problem.value


def test_a_text_encoder_of_pickles_alone_is_named_once(tmp_path: Path) -> None:
    for name in ("text_encoder/pytorch_model.bin", "tokenizer/spiece.model"):
        path = tmp_path / "t5" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    (problem,) = problems({"text_encoder": str(tmp_path / "t5")})
    assert problem.place == "engine.text_encoder"
    assert "pytorch_model.bin" in problem.value

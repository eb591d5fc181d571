"""Weights that core loads without a copy: those that are in their file as the module has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from actors.engines.comfyui.loading.in_place import ALIGNMENT, weights_in_place
from tests.official.files import write_sparse

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def mapped(path: Path, dtype: str) -> dict[str, torch.Tensor]:
    """The tensors of a layer."""
    entries = {"weight": (dtype, (16, 32)), "bias": (dtype, (16,))}
    write_sparse(path, entries)
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in entries}


def kept(weights: dict[str, torch.Tensor], device: torch.device, dtype: torch.dtype = torch.float32) -> bool:
    layer = torch.nn.Linear(32, 16, dtype=dtype)
    with weights_in_place(device):
        layer.load_state_dict(weights)
    assert torch.equal(layer.weight, weights["weight"].to(dtype))
    return layer.weight.data_ptr() == weights["weight"].data_ptr()


def test_what_is_as_the_module_has_it_is_not_copied(tmp_path: Path) -> None:
    weights = mapped(tmp_path / "a.safetensors", "F32")
    assert weights["weight"].data_ptr() % ALIGNMENT == 0
    assert kept(weights, CPU)
    assert kept(weights, GPU)


def test_another_number_type_is_copied(tmp_path: Path) -> None:
    weights = mapped(tmp_path / "a.safetensors", "BF16")
    assert kept(weights, GPU, torch.bfloat16)
    assert not kept(weights, GPU)


def test_on_a_cpu_weights_begin_where_torch_would_begin_them(tmp_path: Path) -> None:
    """A product may have other bits where they do not."""
    weights = mapped(tmp_path / "a.safetensors", "F32")
    shifted = torch.zeros(16 * 32 + 1)[1:].view(16, 32)
    assert shifted.data_ptr() % ALIGNMENT
    assert not kept({**weights, "weight": shifted}, CPU)
    assert kept({**weights, "weight": shifted}, GPU)


def test_afterwards_all_is_as_before() -> None:
    load = torch.nn.Module._load_from_state_dict
    with pytest.raises(RuntimeError, match="Missing"), weights_in_place(GPU):
        torch.nn.Linear(2, 2).load_state_dict({})
    assert torch.nn.Module._load_from_state_dict is load

"""Products in fp8: every token by itself, weights as a file has them, and near enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from actors.engines.diffusers.fused import fp8
from actors.engines.diffusers.fused.fp8 import FP8, Fp8Linear, Rows, pack, rows_of
from actors.engines.diffusers.stored import fp8_scales, read_tensors

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def _linear(seed: int = 0, into: int = 64, out: int = 32) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(into, out).requires_grad_(False)


def test_a_token_s_largest_number_is_the_largest_of_its_type() -> None:
    x = torch.randn(2, 5, 64) * torch.logspace(-3, 3, 5)[:, None]
    rows = rows_of(x)
    assert rows.values.dtype == FP8
    assert torch.equal(rows.values.float().abs().amax(-1), torch.full((2, 5), 448.0))
    assert ((rows.values.float() * rows.scale - x).abs() <= x.abs() / 16 + rows.scale / 512).all()
    assert torch.equal(rows_of(torch.zeros(1, 1, 8)).values.float(), torch.zeros(1, 1, 8))


def test_a_layer_is_near_its_own_in_full_and_treats_each_token_alone() -> None:
    linear, x = _linear(), torch.randn(1, 24, 64)
    packed = Fp8Linear(linear, CPU)
    whole = packed(x)
    assert (whole - linear(x)).norm() < 0.05 * linear(x).norm()
    assert torch.equal(torch.cat([packed(part) for part in x.split(8, 1)], 1), whole)
    assert torch.equal(packed(rows_of(x)), whole)


def test_other_weights_are_rounded_as_the_first_were() -> None:
    packed, other = Fp8Linear(_linear(0), CPU), _linear(1)
    packed.take(other.weight)
    fresh = Fp8Linear(other, CPU)
    assert torch.equal(packed.weight.float(), fresh.weight.float())
    assert torch.equal(packed.scale, fresh.scale)


@pytest.mark.parametrize("scale", [None, torch.ones(32, 1)])
def test_weights_are_rounded_by_the_layers_device_wherever_they_are(
    scale: torch.Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a streamed layer they are in host memory; the device that torch calls `meta` stands for a GPU."""
    by: list[set[str]] = []

    def noted(x: torch.Tensor, scale: torch.Tensor | None = None) -> Rows:
        by.append({each.device.type for each in (x, scale) if each is not None})
        return rows_of(torch.full(x.shape, float(len(by))))

    monkeypatch.setattr(fp8, "rows_of", noted)
    packed = Fp8Linear(_linear(), torch.device("meta"), scale)
    for as_stored in (False, True):
        packed.take(torch.randn(32, 64), as_stored)
    assert by == [{"meta"}] * 3
    assert packed.weight.device == packed.scale.device == CPU
    assert torch.equal(packed.scale, torch.full((32, 1), 3.0) / 448.0)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [None, 0.00313])
def test_a_gpu_rounds_weights_in_host_memory_as_its_own(scale: float | None) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    device, linear = torch.device("cuda"), _linear(into=256, out=512)
    scales = None if scale is None else torch.full((512, 1), scale)
    at_home, there = (Fp8Linear(_linear(into=256, out=512).to(of), device, scales) for of in (CPU, device))
    assert (at_home.weight.device.type, there.weight.device.type) == ("cpu", "cuda")
    for as_stored in (False, True):
        for packed in (at_home, there):
            packed.take(linear.weight.to(device) * (1.0 if as_stored else 1.7), as_stored)
        assert torch.equal(at_home.weight.float(), there.weight.float().cpu())
        assert torch.equal(at_home.scale, there.scale.cpu())


@pytest.mark.parametrize("scale", [None, 0.00313])
def test_weights_that_a_file_has_in_fp8_stay_as_they_are(tmp_path: Path, scale: float | None) -> None:
    """Plain and scaled: rounded a second time, they would be others."""
    stored = (torch.randn(32, 64) * 30).to(FP8)
    tensors = {"layer.weight": stored, "other.weight": torch.randn(32, 64)}
    if scale:
        tensors["layer.scale_weight"] = torch.tensor(scale)
    save_file(tensors, tmp_path / "fp8.safetensors")
    scales = fp8_scales(tmp_path / "fp8.safetensors", ["layer.weight", "other.weight"])
    assert list(scales) == ["layer.weight"]
    linear = _linear()
    read = dict(read_tensors(tmp_path / "fp8.safetensors", ["layer.weight"], torch.bfloat16))
    linear.weight.data = read["layer.weight"].float()
    packed = Fp8Linear(linear, CPU, scales["layer.weight"])
    assert torch.equal(packed.weight.float(), stored.float())
    assert packed.scale.unique().tolist() == pytest.approx([scale or 1.0])
    packed.take(torch.randn(32, 64))
    packed.take(read["layer.weight"], as_stored=True)
    assert torch.equal(packed.weight.float(), stored.float())


def test_layers_are_packed_where_a_card_could_multiply_them() -> None:
    """Not gates, nor widths that are no multiple of 16, nor what is in no block."""
    block = torch.nn.Module()
    block.wide, block.odd = _linear(), _linear(into=24)
    block.to_gate_logits = _linear()
    model = torch.nn.Module()
    model.transformer_blocks, model.proj_out = torch.nn.ModuleList([block]), _linear()
    pack(model, CPU, {})
    assert isinstance(block.wide, Fp8Linear)
    for left in (block.odd, block.to_gate_logits, model.proj_out):
        assert type(left) is torch.nn.Linear


def test_rows_are_cut_as_tensors_are() -> None:
    rows, packed = rows_of(torch.randn(2, 48, 64)), Fp8Linear(_linear(), CPU)
    parts = rows.chunk(3, 1)
    assert all(isinstance(part, Rows) for part in parts)
    assert [part.values.shape[1] for part in parts] == [16, 16, 16]
    assert torch.equal(torch.cat([packed(part) for part in parts], 1), packed(rows)), "of a batch, too"
    assert torch.equal(torch.cat([part.scale for part in parts], 1), rows.scale)

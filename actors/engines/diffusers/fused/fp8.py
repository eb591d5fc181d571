"""Tokens in fp8, each with a scale of its own, and the linear layers that multiply them.

Row-wise dynamic scaling: a token's largest value becomes the largest of float8_e4m3fn, 448, and so does the
largest weight of an output channel. What one token comes to does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
LARGEST = 448.0
SMALLEST_SCALE = 1e-12
"""Of a row of zeros."""
MULTIPLE = 16
"""What the products of a card want both widths of a layer to be a multiple of."""
LEAST_CAPABILITY = (8, 9)
"""CUDA compute capability of the first cards that multiply fp8 (Ada)."""


@dataclass(frozen=True)
class Rows:
    """`values` `[B, N, D]` float8_e4m3fn times `scale` `[B, N, 1]` float32; `plain` is the same before it
    was rounded, where somebody asked for it too."""

    values: Tensor
    scale: Tensor
    plain: Tensor | None = None

    def chunk(self, parts: int, dim: int) -> list[Rows]:
        """As of a tensor; `dim` is not the last."""
        pairs = zip(self.values.chunk(parts, dim), self.scale.chunk(parts, dim), strict=True)
        return [Rows(values, scale) for values, scale in pairs]


def values_of(x: Tensor | Rows) -> Tensor:
    """What has the shape of the tokens."""
    return x.values if isinstance(x, Rows) else x


def rows_of(x: Tensor, scale: Tensor | None = None) -> Rows:
    """`[..., D]` rounded to fp8 row by row, by given scales `[..., 1]` where it has been in fp8 before."""
    wide = x.float()
    if scale is None:
        scale = (wide.abs().amax(-1, keepdim=True) / LARGEST).clamp(min=SMALLEST_SCALE)
    return Rows((wide / scale).clamp(-LARGEST, LARGEST).to(FP8), scale)


class Fp8Linear(nn.Module):
    """A linear layer with weights `[out, in]` in fp8, a scale for each output channel."""

    def __init__(self, linear: nn.Linear, device: torch.device, scale: Tensor | None = None) -> None:
        """`device` rounds the weights, these and later ones; they stay where they were. `scale` `[out, 1]` is
        that of a file which has them in fp8."""
        super().__init__()
        self._device = device
        home = linear.weight.device
        self.stored = None if scale is None else scale.to(device, copy=True)
        packed = rows_of(linear.weight.detach().to(device), None if scale is None else scale.to(device))
        self.weight = nn.Parameter(packed.values.to(home), requires_grad=False)
        self.scale = nn.Parameter(packed.scale.to(home), requires_grad=False)
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = linear.weight.dtype
        """Of what it makes."""

    @torch.no_grad()
    def take(self, weight: Tensor, as_stored: bool = False) -> None:
        """Other weights `[out, in]` in place of these; `as_stored`, those of the file again."""
        # Not where these are: a GPU divides by a number in another way than a CPU, in the last bit.
        packed = rows_of(weight.to(self._device), self.stored if as_stored else None)
        self.weight.copy_(packed.values)
        self.scale.copy_(packed.scale)

    def forward(self, x: Tensor | Rows) -> Tensor:
        """`[B, N, in]` -> `[B, N, out]`."""
        rows = x if isinstance(x, Rows) else rows_of(x)
        values, scale = rows.values.reshape(-1, self.in_features), rows.scale.reshape(-1, 1)
        if values.is_cuda:
            made = torch._scaled_mm(
                values,
                self.weight.t(),
                scale_a=scale,
                scale_b=self.scale.t(),
                bias=self.bias,
                out_dtype=self.dtype,
                use_fast_accum=True,
            )
        else:
            made = F.linear(values.float(), self.weight.float()) * scale * self.scale.t()
            made = (made if self.bias is None else made + self.bias.float()).to(self.dtype)
        return made.view(*rows.values.shape[:-1], self.out_features)


def pack(transformer: Any, device: torch.device, scales: Mapping[str, Tensor]) -> None:
    """Replace the linear layers of all blocks that fp8 products take; `device` rounds their weights. `scales`
    are those of a file that has some in fp8, by the weights' names in the module."""
    for name, linear in list(_linears(transformer)):
        parent, _, last = name.rpartition(".")
        packed = Fp8Linear(linear, device, scales.get(f"{name}.weight"))
        setattr(transformer.get_submodule(parent), last, packed)


def _linears(transformer: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Gates of heads stay as they are: they are small, and what they come to counts for a whole head."""
    for name, each in transformer.named_modules():
        if not isinstance(each, nn.Linear) or not name.startswith("transformer_blocks."):
            continue
        fits = each.in_features % MULTIPLE == 0 and each.out_features % MULTIPLE == 0
        if fits and not name.endswith("to_gate_logits"):
            yield name, each


def fault_of(device: torch.device) -> str:
    """Why the device has no products in fp8; empty where it has, and on a CPU, which computes what they
    would."""
    if device.type != "cuda":
        return ""
    found = torch.cuda.get_device_capability(device)
    if found >= LEAST_CAPABILITY:
        return ""
    return f"{torch.cuda.get_device_name(device)} has no products in fp8 (cards from Ada on have)"

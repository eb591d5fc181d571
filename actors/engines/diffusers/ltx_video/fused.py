"""What diffusers computes in many small kernels, in few: the norms of the blocks and the rotary embedding.

A kernel that reads and writes the whole sequence costs as much as its memory traffic, and the device idles
between two of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ComplexRope(nn.Module):
    """Wraps a rotary embedding whose cosines and sines `[B, N, D]` stand in equal pairs: the same angles as
    complex numbers `[B, N, D / 2]`, computed once for all blocks."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        cos, sin = self.inner(*args, **kwargs)
        return torch.complex(cos[..., ::2], sin[..., ::2])


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """`[B, N, D]`: neighbouring pairs of channels as complex numbers, turned in float32."""
    pairs = torch.view_as_complex(x.float().unflatten(2, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(2).to(x.dtype)


def install(transformer: Any) -> None:
    """Replace the rotary embedding, and every block's norms where they have no weights."""
    transformer.rope = ComplexRope(transformer.rope)
    for block in transformer.transformer_blocks:
        block.norm1, block.norm2 = _fused(block.norm1), _fused(block.norm2)


def _fused(norm: Any) -> nn.Module:
    if norm.weight is not None:
        return norm
    return nn.RMSNorm(norm.dim, eps=norm.eps, elementwise_affine=False)

"""A block of LTX-Video's transformer, its norms, sums and turns computed in few kernels.

A kernel that reads and writes the whole sequence costs as much as its memory traffic, and the device idles
between two of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actors.engines.diffusers import feedforward
from actors.engines.diffusers.fused.ops import Due, Reading, Turns, modulations, step


class ComplexRope(nn.Module):
    """Wraps a rotary embedding whose cosines and sines `[B, N, D]` stand in equal pairs: the same angles as
    complex numbers `[B, N, D / 2]`, computed once for all blocks."""

    def __init__(self, inner: nn.Module, heads: int) -> None:
        super().__init__()
        self.inner, self.heads = inner, heads

    def forward(self, *args: Any, **kwargs: Any) -> Turns:
        cos, sin = self.inner(*args, **kwargs)
        return turns_of(torch.complex(cos[..., ::2], sin[..., ::2]), self.heads)


def turns_of(angles: Tensor, heads: int) -> Turns:
    """Of complex numbers `[B, N, D / 2]`."""
    parts = torch.view_as_real(angles).unflatten(2, (heads, -1)).transpose(1, 2).unbind(-1)
    return Turns(parts[0], parts[1], paired=True, by_torch=partial(rotate, turns=angles))


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """`[B, N, D]`: neighbouring pairs of channels as complex numbers, turned in float32."""
    pairs = torch.view_as_complex(x.float().unflatten(2, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(2).to(x.dtype)


def install(transformer: Any) -> None:
    """Replace the rotary embedding, every block's norms where they have no weights, and its forward; once,
    when its weights are there."""
    feedforward.install(transformer)
    blocks = transformer.transformer_blocks
    transformer.rope = ComplexRope(transformer.rope, blocks[0].attn1.heads)
    for block in blocks:
        block.norm1, block.norm2 = _fused(block.norm1), _fused(block.norm2)
        block.forward = partial(_forward, block)


def _fused(norm: Any) -> nn.Module:
    if norm.weight is not None:
        return norm
    return nn.RMSNorm(norm.dim, eps=norm.eps, elementwise_affine=False)


def _forward(
    block: Any,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    temb: Tensor,
    image_rotary_emb: Turns,
    encoder_attention_mask: Tensor | None = None,
) -> Tensor:
    """`[B, N, D]` -> `[B, N, D]`, as diffusers' `LTXVideoTransformerBlock`."""
    x, seen, look, read = hidden_states, encoder_hidden_states, block.attn1, block.attn2
    shift, scale, gate, ff_shift, ff_scale, ff_gate = modulations(block.scale_shift_table, temb)
    x, rows = step(x, None, Reading((look.to_q, look.to_k, look.to_v), block.norm1, scale, shift))
    looked = look.processor(look, rows, image_rotary_emb=image_rotary_emb)
    x, rows = step(x, Due(looked, gate), Reading((read.to_q,)))
    heard = read.processor(read, rows, seen, encoder_attention_mask)
    x, rows = step(x, Due(heard), Reading((block.ff.first,), block.norm2, ff_scale, ff_shift))
    return step(x, Due(block.ff(rows), ff_gate))[0]

"""Feed-forward in chunks along the sequence: the same numbers with less activation memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actors.engines.diffusers.fused.fp8 import Fp8Linear, Rows, values_of
from actors.engines.diffusers.fused.ops import fed_forward


class ChunkedFeedForward(nn.Module):
    """Wraps the feed-forward of one block; `chunks` <= 1 runs it whole."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.chunks = 0

    @property
    def first(self) -> nn.Module:
        """The layer that reads what comes in."""
        return self.inner.net[0].proj

    def forward(self, hidden_states: Tensor | Rows) -> Tensor:
        """`[B, N, D]` -> `[B, N, D]`."""
        if self.chunks <= 1:
            return fed_forward(self.inner, hidden_states)
        last, whole = self.inner.net[2], values_of(hidden_states)
        dtype = last.dtype if isinstance(last, Fp8Linear) else whole.dtype
        result = torch.empty((*whole.shape[:2], last.out_features), dtype=dtype, device=whole.device)
        parts: Sequence[Tensor | Rows] = hidden_states.chunk(self.chunks, 1)
        for source, target in zip(parts, result.chunk(self.chunks, dim=1), strict=True):
            target.copy_(fed_forward(self.inner, source))
        return result


def install(transformer: Any) -> None:
    """Wrap the feed-forward of every block; weights must have been loaded before."""
    for block in transformer.transformer_blocks:
        block.ff = ChunkedFeedForward(block.ff)


def set_chunks(transformer: Any, chunks: int) -> None:
    """0 or 1 turns chunking off."""
    for block in transformer.transformer_blocks:
        block.ff.chunks = chunks

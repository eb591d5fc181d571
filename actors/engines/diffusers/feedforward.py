"""Feed-forward in chunks along the sequence: the same numbers with less activation memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ChunkedFeedForward(nn.Module):
    """Wraps the feed-forward of one block; `chunks` <= 1 runs it whole."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.chunks = 0

    def forward(self, hidden_states: Tensor) -> Tensor:
        """`[B, N, D]` -> `[B, N, D]`."""
        if self.chunks <= 1:
            return self.inner(hidden_states)
        result = torch.empty_like(hidden_states)
        for source, target in zip(
            hidden_states.chunk(self.chunks, dim=1), result.chunk(self.chunks, dim=1), strict=True
        ):
            target.copy_(self.inner(source))
        return result


def install(transformer: Any) -> None:
    """Wrap the feed-forward of every block; weights must have been loaded before."""
    for block in transformer.transformer_blocks:
        block.ff = ChunkedFeedForward(block.ff)


def set_chunks(transformer: Any, chunks: int) -> None:
    """0 or 1 turns chunking off."""
    for block in transformer.transformer_blocks:
        block.ff.chunks = chunks

"""Text encoder of the bundled tiny model; `tiny_words` reads the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class _Block(nn.Module):
    """Pre-norm self-attention and feed-forward over [B, L, dim]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class TinyTextEncoder(nn.Module):
    """Word embeddings, learned positions and a small transformer.

    `forward(ids [B, L] int64)` returns the embeddings [B, L, dim] and their mask [B, L] (True = a word).
    Padding does not change the embeddings of the words.
    """

    def __init__(self, vocabulary: int, dim: int, layers: int, heads: int, max_tokens: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(torch.zeros(max_tokens, dim))
        self.blocks = nn.ModuleList(_Block(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.word.weight, std=0.5)
        nn.init.normal_(self.position, std=0.1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TinyTextEncoder:
        """Build from the checkpoint's `text_encoder` metadata entry."""
        return cls(
            len(config["words"]), config["dim"], config["layers"], config["heads"], config["max_tokens"]
        )

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = ids != 0
        x = self.word(ids) + self.position[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask

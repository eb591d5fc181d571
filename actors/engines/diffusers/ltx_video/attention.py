"""Attention of the LTX-Video transformer with the farm's switches: kernel, guide weights, skipped blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.fused.ops import Turns, joined, rounded_for, turned
from actors.engines.diffusers.kernels import Kernel
from actors.engines.diffusers.ltx_video import block
from actors.engines.diffusers.sequence import TokenSplit

if TYPE_CHECKING:
    from actors.engines.diffusers.fused.fp8 import Rows


@dataclass
class AttentionState:
    """What changes from run to run; one per transformer, shared by all its processors.

    `kernel` computes unmasked self-attention; `guides` is the log-weight of each appended guide token `[G]`,
    or None; `passthrough` names the blocks whose self-attention hands its values through (STG). `split` says
    how the tokens of a run are dealt to the ranks of a gang.
    """

    kernel: Kernel = F.scaled_dot_product_attention
    guides: Tensor | None = None
    passthrough: frozenset[int] = field(default_factory=frozenset)
    split: TokenSplit | None = None


class FarmAttention:
    """Attention processor of one diffusers `LTXAttention`; `block` is its index, None for cross-attention."""

    def __init__(self, state: AttentionState, block: int | None) -> None:
        self.state = state
        self.block = block

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor | Rows,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Turns | None = None,
    ) -> Tensor:
        context = hidden_states
        if encoder_hidden_states is not None:
            context = rounded_for(encoder_hidden_states, (attn.to_k, attn.to_v))
        value = attn.to_v(context)
        if self.block is not None and self.block in self.state.passthrough:
            return attn.to_out[0](value)
        turns = image_rotary_emb
        query, key = turned(attn, attn.to_q(hidden_states), attn.to_k(context), turns, turns)
        query, key, value_heads = (
            part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value)
        )
        mixed = self._mixed(query, key, value_heads, attention_mask)
        return attn.to_out[0](joined(mixed, None, value.dtype, attn.to_out[0]))

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        split, mix = self.state.split, partial(self._mix, mask=mask)
        if split is None:
            return mix(query, key, value)
        return (split.reading if self.block is None else split.attended)(mix, query, key, value)

    def _mix(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            # Text mask [B, 1, S] as an additive bias over keys.
            return F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None].to(query.dtype))
        if self.block is not None and self.state.guides is not None:
            return weighted_guides(query, key, value, self.state.guides.to(query.dtype))
        if self.block is None:
            return F.scaled_dot_product_attention(query, key, value)
        return self.state.kernel(query, key, value)


def weighted_guides(query: Tensor, key: Tensor, value: Tensor, log_weights: Tensor) -> Tensor:
    """Self-attention where clip <-> guide attention carries `log_weights` `[G]` for the last G tokens.

    Queries are split in two groups, so the largest mask is `[G, N]` and never `[N, N]`.
    """
    guides = log_weights.shape[0]
    clip = query.shape[2] - guides
    to_guides = query.new_zeros(1, 1, 1, query.shape[2])
    to_guides[..., clip:] = log_weights
    from_guides = query.new_zeros(1, 1, guides, query.shape[2])
    from_guides[..., :clip] = log_weights[:, None]
    return torch.cat(
        [
            F.scaled_dot_product_attention(query[:, :, :clip], key, value, attn_mask=to_guides),
            F.scaled_dot_product_attention(query[:, :, clip:], key, value, attn_mask=from_guides),
        ],
        dim=2,
    )


def log_weights(weights: Tensor) -> Tensor:
    """ln w per guide token; weight 0 becomes the lowest finite number, which no query can see."""
    lowest = torch.finfo(weights.dtype).min
    return torch.where(weights > 0, weights.clamp(min=torch.finfo(weights.dtype).tiny).log(), lowest)


def install(transformer: Any) -> AttentionState:
    """Give every attention of the transformer a `FarmAttention`, and its blocks the forward that uses it;
    returns the state they share."""
    block.install(transformer)
    state = AttentionState()
    for index, each in enumerate(transformer.transformer_blocks):
        each.attn1.set_processor(FarmAttention(state, index))
        each.attn2.set_processor(FarmAttention(state, None))
    return state

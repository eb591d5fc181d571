"""LTX-2's transformer on a part of the picture's tokens, or with weights between them: where they look at
each other, and where the sound looks at them.

Text and sound look the same from every token, and the sound's own layers are computed whole on each rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.sequence import projected_whole

if TYPE_CHECKING:
    from actors.engines.diffusers.ltx2.pieces import Looks
    from actors.engines.diffusers.sequence import TokenSplit

Turns = tuple[Tensor, Tensor]
"""Cosines and sines, tokens in the last dimension but one."""


@contextmanager
def split_over(split: TokenSplit | None, transformer: Any, looks: Looks | None = None) -> Iterator[None]:
    """Has the transformer run on this rank's tokens, which look at each other as `looks` says; without
    either, as it is."""
    if split is None and looks is None:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(projected_whole(split, transformer.proj_out))
        for block in transformer.transformer_blocks:
            stack.callback(setattr, block.attn1, "processor", block.attn1.processor)
            block.attn1.processor = _OwnAttention(split, looks)
        if split is not None:
            heard = _SeenWhole(split)
            for block in transformer.transformer_blocks:
                hook = block.video_to_audio_attn.register_forward_pre_hook(heard, with_kwargs=True)
                stack.callback(hook.remove)
        yield


class _SeenWhole:
    """The sound hears every token of the picture."""

    def __init__(self, split: TokenSplit) -> None:
        self.split = split
        self._turns: tuple[Turns, Turns] | None = None

    def __call__(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seen = self.split.whole(kwargs["encoder_hidden_states"], 1)
        return args, {**kwargs, "encoder_hidden_states": seen, "key_rotary_emb": self._whole_turns(kwargs)}

    def _whole_turns(self, kwargs: dict[str, Any]) -> Turns:
        """Those of all tokens; the same in every block."""
        mine: Turns = kwargs["key_rotary_emb"]
        if self._turns is None or self._turns[0] is not mine:
            cos, sin = (self.split.whole(part, part.ndim - 2) for part in mine)
            self._turns = mine, (cos, sin)
        return self._turns[1]


class _OwnAttention:
    """Self-attention of the picture as diffusers' processors of LTX-2 compute it, over the ranks."""

    def __init__(self, split: TokenSplit | None, looks: Looks | None) -> None:
        self.split = split
        self.attend: Callable[..., Tensor] = looks or F.scaled_dot_product_attention

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        *seen: Any,
        perturbation_mask: Tensor | None = None,
        all_perturbed: Tensor | bool | None = None,
    ) -> Tensor:
        """`seen` are what else is attended to and its mask, both None here, and the turns of queries and
        keys, which are the same. A clip comes alone: it is perturbed as a whole or not at all."""
        turns: Turns = seen[2]
        value = attn.to_v(hidden_states)
        if all_perturbed:
            mixed = value
        else:
            rotate = _rotation(attn.rope_type)
            query = rotate(attn.norm_q(attn.to_q(hidden_states)), turns)
            key = rotate(attn.norm_k(attn.to_k(hidden_states)), turns)
            parts = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
            attended = self.split.attended(self.attend, *parts) if self.split else self.attend(*parts)
            mixed = attended.transpose(1, 2).flatten(2).to(query.dtype)
        if attn.to_gate_logits is not None:
            gates = 2.0 * torch.sigmoid(attn.to_gate_logits(hidden_states))
            mixed = (mixed.unflatten(2, (attn.heads, -1)) * gates.unsqueeze(-1)).flatten(2)
        return attn.to_out[1](attn.to_out[0](mixed))


def _rotation(kind: str) -> Callable[[Tensor, Turns], Tensor]:
    from diffusers.models.transformers import transformer_ltx2 as theirs

    interleaved = kind == "interleaved"
    return theirs.apply_interleaved_rotary_emb if interleaved else theirs.apply_split_rotary_emb

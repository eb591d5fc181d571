"""Attention of LTX-2's transformer with the farm's switches: looks, skipped blocks, ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.fused.fp8 import Rows
from actors.engines.diffusers.fused.ops import Turns, joined, plain_of, turned
from actors.engines.diffusers.sequence import TokenSplit

Angles = tuple[Tensor, Tensor]
"""Cosines and sines as the transformer hands them to its blocks, tokens in the last dimension but one."""

Attend = Callable[..., Tensor]
"""Of queries, keys and values `[B, heads, N, d]`."""
attend: Attend = F.scaled_dot_product_attention


@dataclass
class AttentionState:
    """What changes from run to run; one per transformer, shared by its blocks.

    `look` is how the picture's tokens look at each other; `split` says how they are dealt to the ranks of a
    gang. The sound's own layers are computed whole on each rank.
    """

    look: Attend = attend
    split: TokenSplit | None = None
    _whole: tuple[Angles, Angles] | None = field(default=None, repr=False)

    @property
    def looking(self) -> Attend:
        """How this rank's tokens look at those of all."""
        return self.look if self.split is None else partial(self.split.attended, self.look)

    @property
    def reading(self) -> Attend:
        """How they read what every rank has whole: the prompt, and the sound."""
        return attend if self.split is None else partial(self.split.reading, attend)

    @contextmanager
    def running(self, look: Attend, split: TokenSplit | None) -> Iterator[None]:
        """For one run, and nothing of it after."""
        self.look, self.split = look, split
        try:
            yield
        finally:
            self.look, self.split, self._whole = attend, None, None

    def whole_angles(self, mine: Angles) -> Angles:
        """Those of the tokens of all ranks; the same in every block."""
        if self.split is None:
            return mine
        if self._whole is None or self._whole[0] is not mine:
            cos, sin = (self.split.whole(part, part.ndim - 2) for part in mine)
            self._whole = mine, (cos, sin)
        return self._whole[1]


@dataclass(frozen=True)
class Context:
    """What else than the tokens themselves is attended to: `rows` of it, an additive `mask` `[B, 1, S]`, and
    the angles of its places."""

    rows: Tensor | Rows
    mask: Tensor | None = None
    angles: Angles | None = None


def attended(
    attn: Any,
    rows: Tensor | Rows,
    angles: Angles | None = None,
    context: Context | None = None,
    look: Attend = attend,
    skipped: bool = False,
) -> Tensor:
    """`[B, N, D]` -> `[B, N, D]` through diffusers' `LTX2Attention`; `skipped`, values are handed through
    (STG)."""
    read = rows if context is None else context.rows
    value = attn.to_v(read)
    gates = None if attn.to_gate_logits is None else attn.to_gate_logits(plain_of(rows))
    split = partial(_heads, heads=attn.heads)
    if skipped:
        mixed = split(value)
    else:
        turns = _turns(attn, angles)
        theirs = turns if context is None else _turns(attn, context.angles)
        query, key = turned(attn, attn.to_q(rows), attn.to_k(read), turns, theirs)
        mask = None if context is None else context.mask
        look = look if mask is None else partial(look, attn_mask=mask[:, None])
        mixed = look(split(query), split(key), split(value))
    return attn.to_out[0](joined(mixed, gates, value.dtype, attn.to_out[0]))


def _heads(x: Tensor, heads: int) -> Tensor:
    """`[B, N, D]` -> `[B, heads, N, d]`."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _turns(attn: Any, angles: Angles | None) -> Turns | None:
    if angles is None:
        return None
    from diffusers.models.transformers import transformer_ltx2 as theirs

    cos, sin = angles
    if attn.rope_type == "interleaved":
        cos, sin = (part[..., ::2].unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in angles)
        turn = partial(theirs.apply_interleaved_rotary_emb, freqs=angles)
        return Turns(cos, sin, paired=True, by_torch=turn)
    return Turns(cos, sin, paired=False, by_torch=partial(theirs.apply_split_rotary_emb, freqs=angles))

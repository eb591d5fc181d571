"""What blocks do to tokens `[B, N, D]` between their matrix products.

On a GPU each is one of Triton's kernels, computed in float32 and rounded once; elsewhere torch's operations
in the order that diffusers has them, and with its bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actors.engines.diffusers.fused.choice import kernels_here
from actors.engines.diffusers.fused.fp8 import Fp8Linear, Rows, rows_of


class Modulation(NamedTuple):
    """What a token is shifted by, scaled or gated with: `table` `[D]`, a block's own, plus `steps`
    `[B, N or 1, D]`, which the noise level gives."""

    table: Tensor
    steps: Tensor

    def __call__(self) -> Tensor:
        return self.table + self.steps


def modulations(table: Tensor, steps: Tensor) -> list[Modulation]:
    """Of a table `[n, D]` and embeddings `[B, N or 1, n D]`."""
    parts = steps.unflatten(2, (len(table), -1)).unbind(2)
    return [Modulation(own, given) for own, given in zip(table.to(steps.device), parts, strict=True)]


@dataclass(frozen=True)
class Turns:
    """A rotation of each head's pairs: `cos` and `sin` `[B, heads, N, d / 2]`. `paired`: neighbours make a
    pair, else the first half of a head with its second. `by_torch` turns `[B, N, heads d]` with the bits of
    the model's own code."""

    cos: Tensor
    sin: Tensor
    paired: bool
    by_torch: Callable[[Tensor], Tensor]


@functools.cache
def _has_kernels() -> bool:
    return kernels_here() == "triton"


def fused_on(x: Tensor) -> bool:
    """Whether Triton's kernels compute what is done to `x`."""
    return x.is_cuda and _has_kernels()


@dataclass(frozen=True)
class Due:
    """What a layer made of the tokens and is still to be added to them, `[B, N, D]`, times `gate`."""

    made: Tensor
    gate: Modulation | None = None


@dataclass(frozen=True)
class Reading:
    """What the layers `into` read of the tokens: their norm, scaled and shifted, as `Rows` for layers in
    fp8."""

    into: Sequence[nn.Module]
    norm: Any = None
    scale: Modulation | None = None
    shift: Modulation | None = None

    @property
    def in_fp8(self) -> bool:
        return any(isinstance(layer, Fp8Linear) for layer in self.into)

    @property
    def plain(self) -> bool:
        return any(not isinstance(layer, Fp8Linear) for layer in self.into)


def step(x: Tensor, due: Due | None = None, reading: Reading | None = None) -> tuple[Tensor, Any]:
    """The tokens `[B, N, D]` with what is due, and what is read of them; without a reading that is None."""
    weighted = reading is not None and reading.norm is not None and reading.norm.weight is not None
    if not fused_on(x) or weighted:
        return in_torch(x, due, reading)
    from actors.engines.diffusers.fused.launch import launch_step

    return launch_step(x, due, reading)


def in_torch(x: Tensor, due: Due | None, reading: Reading | None) -> tuple[Tensor, Any]:
    """`step` by torch's operations."""
    if due is not None:
        x = x + (due.made if due.gate is None else due.made * due.gate())
    if reading is None:
        return x, None
    read = x if reading.norm is None else reading.norm(x)
    if reading.scale is not None and reading.shift is not None:
        read = read * (1 + reading.scale()) + reading.shift()
    return x, rounded_for(read, reading.into)


def rounded_for(x: Tensor, into: Sequence[nn.Module]) -> Tensor | Rows:
    """`[B, N, D]` as the layers read it: in fp8 once where one of them does."""
    reading = Reading(into)
    if not reading.in_fp8:
        return x
    if not fused_on(x):
        rows = rows_of(x)
    else:
        from actors.engines.diffusers.fused.launch import launch_step

        rows = launch_step(x, None, Reading([layer for layer in into if isinstance(layer, Fp8Linear)]))[1]
    return Rows(rows.values, rows.scale, x if reading.plain else None)


def plain_of(x: Tensor | Rows) -> Tensor:
    """What was not rounded to fp8."""
    if isinstance(x, Tensor):
        return x
    assert x.plain is not None
    return x.plain


def turned(
    attn: Any, query: Tensor, key: Tensor, turns: Turns | None, key_turns: Turns | None
) -> tuple[Tensor, Tensor]:
    """Queries and keys `[B, N, heads d]` by diffusers' attention `attn`: their norms over all heads, and the
    turns of their places."""
    norms = attn.norm_q, attn.norm_k
    if not fused_on(query) or any(norm.weight is None for norm in norms):
        query, key = norms[0](query), norms[1](key)
        query = query if turns is None else turns.by_torch(query)
        return query, key if key_turns is None else key_turns.by_torch(key)
    from actors.engines.diffusers.fused.launch import launch_turned

    if turns is key_turns and query.shape == key.shape and norms[0].eps == norms[1].eps:
        first, second = launch_turned(((query, norms[0]), (key, norms[1])), turns, attn.heads)
        return first, second
    first = launch_turned(((query, norms[0]),), turns, attn.heads)[0]
    return first, launch_turned(((key, norms[1]),), key_turns, attn.heads)[0]


def joined(mixed: Tensor, gates: Tensor | None, dtype: torch.dtype, into: nn.Module) -> Tensor | Rows:
    """Heads `[B, heads, N, d]` side by side `[B, N, heads d]`, each times twice the sigmoid of its gate
    `[B, N, heads]` where there are gates."""
    if fused_on(mixed) and (gates is not None or isinstance(into, Fp8Linear)):
        from actors.engines.diffusers.fused.launch import launch_heads

        return launch_heads(mixed, gates, dtype, isinstance(into, Fp8Linear))
    side_by_side = mixed.transpose(1, 2).flatten(2).to(dtype)
    if gates is not None:
        opened = (2.0 * torch.sigmoid(gates)).unsqueeze(-1)
        side_by_side = (side_by_side.unflatten(2, (gates.shape[2], -1)) * opened).flatten(2)
    return rounded_for(side_by_side, (into,))


def fed_forward(ff: Any, x: Tensor | Rows) -> Tensor:
    """diffusers' `FeedForward` with GELU by its tanh."""
    first, last = ff.net[0].proj, ff.net[2]
    if isinstance(last, Fp8Linear):
        wide = first(x)
        if fused_on(wide):
            from actors.engines.diffusers.fused.launch import launch_activated

            return last(launch_activated(wide))
        return last(F.gelu(wide, approximate="tanh"))
    assert isinstance(x, Tensor)
    if fused_on(x) and first.bias is not None:
        wide = torch._addmm_activation(first.bias, x.flatten(0, -2), first.weight.t(), use_gelu=True)
        return last(wide.unflatten(0, x.shape[:-1]))
    return ff(x)

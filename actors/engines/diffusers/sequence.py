"""One forward on several ranks: each has a part of the tokens, or of the heads while tokens look at each
other.

All that a layer does to a token by itself is done where the token is. For self-attention the ranks exchange
queries, keys and values so that each has every token of its heads, and exchange the result back (DeepSpeed
Ulysses, Jacobs et al., 2023). The last projection is computed on gathered tokens by all: of few rows its sums
would be others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from actors.ranks import Ranks

if TYPE_CHECKING:
    from torch import nn

LEAST_TOKENS = 12
"""Of a rank: on a CPU, a matrix product of fewer rows may leave a thread fewer than four, which are summed in
another order."""
PIECE = 4
"""All but the last rank have a multiple of these: on a CPU, functions of single numbers round the last few of
an array in another way, of 8 heads' gates those behind the last four rows."""


def groups_for(ranks: int, forwards: int, heads: int, tokens: int) -> int:
    """Into how many groups a gang's ranks fall, each of which computes some of a step's forwards: as many as
    have the same work, as far as the heads of one forward can be dealt to the ranks of a group."""
    most = ranks // math.gcd(ranks, forwards)
    fits = (
        size
        for size in range(most, 0, -1)
        if ranks % size == 0 and heads % size == 0 and tokens >= size * LEAST_TOKENS
    )
    return ranks // next(fits, 1)


@dataclass(frozen=True)
class TokenSplit:
    """`tokens` of a sequence over the ranks of one forward, in order and in pieces of `PIECE`; the
    first ranks have one piece more where they do not come out even, the last one the tokens that are left."""

    ranks: Ranks
    tokens: int

    @property
    def sizes(self) -> list[int]:
        """Tokens by rank."""
        pieces, left = divmod(self.tokens, PIECE)
        each, more = divmod(pieces, self.ranks.size)
        sizes = [PIECE * (each + (rank < more)) for rank in range(self.ranks.size)]
        return [*sizes[:-1], sizes[-1] + left]

    def mine(self, whole: Tensor, dim: int) -> Tensor:
        """This rank's part; all of it where it has one entry for all tokens."""
        if whole.shape[dim] != self.tokens:
            return whole
        return whole.split(self.sizes, dim)[self.ranks.rank]

    def whole(self, mine: Tensor, dim: int) -> Tensor:
        """The tokens of all ranks, on each."""
        sizes, local = self.sizes, mine.movedim(dim, 0)
        sent = local.new_zeros((max(sizes), *local.shape[1:]))
        sent[: len(local)] = local
        every = [part[:size] for part, size in zip(self.ranks.gathered(sent), sizes, strict=True)]
        return torch.cat(every).movedim(0, dim)

    def attended(self, attend: Callable[..., Tensor], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`attend` over all tokens; each is `[B, heads, own tokens, d]`, and so is the result."""
        return self._to_tokens(attend(*self._to_heads(torch.stack([query, key, value]))))

    def reading(self, attend: Callable[..., Tensor], query: Tensor, *read: Tensor, **how: Any) -> Tensor:
        """`attend` of own tokens' queries `[B, heads, own tokens, d]` to keys and values that every rank has
        whole.

        On a CPU to the bits of all tokens together, each rank for all: torch takes queries there in blocks of
        32 to 256, and a last block of one to three is summed in another order, so that bits depend on where
        tokens end. On a GPU they do not.
        """
        if query.device.type != "cpu":
            return attend(query, *read, **how)
        return self.mine(attend(self.whole(query, 2), *read, **how), 2)

    def _to_heads(self, mine: Tensor) -> Tensor:
        """`[P, B, heads, own tokens, d]` -> `[P, B, own heads, tokens, d]`."""
        parts = mine.chunk(self.ranks.size, dim=2)
        shape = parts[0].shape
        sizes = [parts[0].numel() // shape[3] * size for size in self.sizes]
        found = self.ranks.exchanged([part.flatten() for part in parts], sizes)
        placed = [part.view(*shape[:3], size, shape[4]) for part, size in zip(found, self.sizes, strict=True)]
        return torch.cat(placed, dim=3)

    def _to_tokens(self, mine: Tensor) -> Tensor:
        """`[B, own heads, tokens, d]` -> `[B, heads, own tokens, d]`."""
        parts = mine.split(self.sizes, dim=2)
        own = parts[self.ranks.rank]
        found = self.ranks.exchanged([part.flatten() for part in parts], [own.numel()] * self.ranks.size)
        return torch.cat([part.view(own.shape) for part in found], dim=1)


@contextmanager
def projected_whole(split: TokenSplit | None, projection: nn.Module) -> Iterator[None]:
    """Has a model's last layer see the tokens of all ranks."""
    if split is None:
        yield
        return

    def gather(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (split.whole(args[0], 1), *args[1:])

    hook = projection.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        hook.remove()

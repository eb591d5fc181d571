"""FlashAttention 4 (`flash-attn-4`), which compiles its kernels when they are called, without nvcc."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Attention = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """(query, key, value), each `[B, heads, N, d]` -> what is seen, `[B, heads, N, d]`, and the logarithm of
    the sum of its weights, `[B, heads, N]` float32."""


def installed() -> bool:
    """Whether the package is there."""
    try:
        return importlib.util.find_spec("flash_attn.cute") is not None
    except ModuleNotFoundError:
        return False


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[B, heads, N, d]` of each -> `[B, heads, N, d]`."""
    from flash_attn.cute import flash_attn_func

    seen = flash_attn_func(*(part.transpose(1, 2) for part in (query, key, value)))
    return (seen[0] if isinstance(seen, tuple) else seen).transpose(1, 2)


def with_sums(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """As `attend`, and the logarithms of the sums."""
    from flash_attn.cute import flash_attn_func

    seen, sums = flash_attn_func(*(part.transpose(1, 2) for part in (query, key, value)), return_lse=True)
    return seen.transpose(1, 2), sums


def weighted(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    guides: int,
    log_weight: float,
    attention: Attention = with_sums,
) -> Tensor:
    """What `weighted_guides` computes for guides of one weight, without a mask, which these kernels do not
    take: clip and guides are attended to apart, and merged by their sums."""
    import torch

    clip = query.shape[2] - guides
    pairs = list(zip(key.split([clip, guides], 2), value.split([clip, guides], 2), strict=True))
    merged = []
    for group, queries in enumerate(query.split([clip, guides], 2)):
        seen, sums = zip(*(attention(queries, *pair) for pair in pairs), strict=True)
        counted = [each if side == group else each + log_weight for side, each in enumerate(sums)]
        shares = torch.softmax(torch.stack(counted), 0)[..., None]
        merged.append((seen[0] * shares[0] + seen[1] * shares[1]).to(query.dtype))
    return torch.cat(merged, 2)

"""The tokens of one forward on several ranks: how they are dealt, and that they find each other again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.sequence import TokenSplit, groups_for
from actors.ranks import Ranks

TOKENS, HEADS = 13, 4


@pytest.mark.parametrize(
    ("ranks", "forwards", "heads", "groups"),
    [
        (2, 1, 32, 1),
        (2, 2, 32, 2),
        (2, 3, 32, 1),
        (4, 1, 32, 1),
        (4, 2, 32, 2),
        (4, 3, 32, 1),
        (4, 4, 32, 4),
        (8, 4, 32, 4),
        (3, 2, 32, 3),
        (4, 1, 2, 2),
    ],
)
def test_ranks_fall_into_groups_of_equal_work(ranks: int, forwards: int, heads: int, groups: int) -> None:
    """As far as a group's ranks can share the heads."""
    assert groups_for(ranks, forwards, heads, 5000) == groups


def test_few_tokens_are_not_split() -> None:
    assert groups_for(4, 1, 32, 48) == 1
    assert groups_for(4, 1, 32, 47) == 2
    assert groups_for(4, 1, 32, 23) == 4


def together(folder: Path, size: int, work: Callable[[Ranks], Tensor]) -> list[Tensor]:
    """What each rank makes of it; they are threads here."""

    def rank(number: int) -> Tensor:
        return work(Ranks.meet(folder, number, size, "cpu"))

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(rank, range(size)))


def test_attention_over_ranks_is_that_of_one(tmp_path: Path) -> None:
    """Uneven parts, a mask over all tokens, and groups of ranks within a gang."""
    query, key, value = torch.randn(3, 2, HEADS, TOKENS, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.linspace(-2, 2, TOKENS).view(1, 1, 1, TOKENS)
    attend = partial(F.scaled_dot_product_attention, attn_mask=mask)

    def work(ranks: Ranks) -> Tensor:
        number, group = ranks.divided(2)
        assert (number, group.rank, group.size) == (ranks.rank // 2, ranks.rank % 2, 2)
        split = TokenSplit(group, TOKENS)
        assert split.sizes == [8, 5]
        mine = split.attended(attend, *(split.mine(part, 2) for part in (query, key, value)))
        assert mine.shape[2] == split.sizes[group.rank]
        return split.whole(mine, 2)

    for made in together(tmp_path, 4, work):
        assert torch.equal(made, attend(query, key, value))


@pytest.mark.parametrize(("tokens", "ranks"), [(98, 2), (70, 2), (135, 4)])
def test_what_all_ranks_have_is_read_as_by_one(tmp_path: Path, tokens: int, ranks: int) -> None:
    """Wherever the last of 32 queries is, of all tokens and of a rank's: one to three behind it are summed in
    another order."""
    randn = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    query, key, value = randn(2, HEADS, tokens, 8), *randn(2, 2, HEADS, 12, 8)
    mask = torch.linspace(-2, 2, 12).view(1, 1, 1, 12)
    read = partial(F.scaled_dot_product_attention, key=key, value=value, attn_mask=mask)

    def work(ranks: Ranks) -> Tensor:
        split = TokenSplit(ranks, tokens)
        own = split.mine(query, 2)
        assert not torch.equal(split.whole(read(own), 2), read(query))
        return split.whole(split.reading(F.scaled_dot_product_attention, own, key, value, attn_mask=mask), 2)

    for made in together(tmp_path, ranks, work):
        assert torch.equal(made, read(query))

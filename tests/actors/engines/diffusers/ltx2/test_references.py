"""References beside a clip: their places, their marks, and how they and the clip look at each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from actors.engines.diffusers.ltx2.pieces import looks_of, picture_tokens, with_guides
from actors.engines.pieces import Piece

WEIGHTS = (0.5, 1.0)


def latents(times: int, side: int) -> Any:
    return torch.randn(1, 128, times, side, side, generator=torch.Generator().manual_seed(times + side))


def pieces() -> list[Piece]:
    """A clip of 3 latents of 2 x 2, a still, and two references, one at half the size."""
    half = Piece(latents(2, 1), 0, 1.0, WEIGHTS[1], scale=2, reference=True)
    beside = [Piece(latents(1, 2), 8, 0.9), Piece(latents(1, 2), 0, 0.8, WEIGHTS[0], reference=True), half]
    return with_guides(torch.zeros(1, 128, 3, 2, 2), beside)


def test_a_reference_is_no_part_of_the_clip() -> None:
    found = pieces()
    assert [piece.latents.shape[2] for piece in found] == [3, 1, 1, 2]
    assert not found[0].latents.any()


def test_its_tokens_stand_at_the_clips_coordinates() -> None:
    tokens = picture_tokens(pieces(), 25.0)
    assert tokens.mask[0, :, 0].tolist() == pytest.approx([1.0] * 12 + [0.1] * 4 + [0.2] * 4 + [0.0] * 2)
    assert tokens.coords[0, 1, -1].tolist() == [0, 64]
    assert tokens.coords[0, 0, -1].tolist() == pytest.approx([1 / 25, 9 / 25])
    assert tokens.marks is not None
    assert tokens.marks[0, :, 0].tolist() == [1.0] * 4 + [0.0] * 18


def test_what_counts_in_full_needs_no_mask() -> None:
    assert (
        looks_of(
            [Piece(latents(3, 2)), Piece(latents(1, 2), attention=0.5), Piece(latents(1, 2), reference=True)]
        )
        is None
    )


def test_attention_by_groups_is_that_of_the_whole_mask() -> None:
    sizes = {"clip": 12, "still": 4, "one": 4, "two": 2}
    seen = {("clip", "one"): WEIGHTS[0], ("clip", "two"): WEIGHTS[1], ("clip", "still"): 1.0}
    weight = {
        **seen,
        **{(other, one): each for (one, other), each in seen.items()},
        **{(k, k): 1.0 for k in sizes},
    }
    names = [name for name, size in sizes.items() for _ in range(size)]
    mask = torch.tensor([[weight.get((one, other), 0.0) for other in names] for one in names]).log()
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 4, 22, 8, generator=generator) for _ in range(3))
    looks = looks_of(pieces())
    assert looks is not None
    wanted = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(looks(query, key, value), wanted)
    assert torch.isfinite(looks(*(part.bfloat16() for part in (query, key, value)))).all()

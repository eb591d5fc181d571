"""The blocks of diffusers' decoder, some frames at a time: beside the video that goes through them, and the
context, only keys and values are whole. diffusers holds five times as much at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actors.engines.diffusers.ltx2.pixels.neighbours import TILE, attend, tiles_of, turned
from actors.ranks import Ranks, dealt

Norm = Callable[[Tensor], Tensor]


@dataclass
class Shares:
    """The ranks of a gang that share the blocks: each has all keys and values, and changes some of the
    frames."""

    ranks: Ranks | None = None


def install(decoder: Any, shares: Shares) -> None:
    """Have the blocks of a `LTX2VideoDiffusionDecoder3d` run here. Those of diffusers refuse what is smaller
    than their kernel, which ComfyUI's core decodes."""
    for block in (each for stage in decoder.det_stages for each in stage):
        block.attn.build_block_mask = _no_mask
        block.forward = partial(_upsampling, block, shares)
    for block in decoder.diff_blocks:
        block.attn.build_block_mask = _no_mask
        block.forward = partial(_denoising, block, shares)
    decoder.norm_out.forward = partial(_in_strips, decoder.norm_out.forward)


def _no_mask(_: Tensor) -> None:
    """None of all places by all places."""


def _upsampling(block: Any, shares: Shares, video: Tensor, _: None = None) -> Tensor:
    """`[B, T, H, W, C]`, changed in place."""
    return _changed(block, shares, video, block.norm1, block.norm2)


def _denoising(
    block: Any,
    shares: Shares,
    video: Tensor,
    context: Tensor,
    modulation: Sequence[Tensor],
    _: None = None,
) -> Tensor:
    """As `_upsampling`, with the context and the noise level."""
    for frames in _strips(video):
        video[:, frames] += block.context_proj(context[:, frames])
    scale, shift, _, scale_mlp, shift_mlp, _, _ = [
        each + own for each, own in zip(modulation, block.scale_shift_table, strict=True)
    ]
    before = partial(_modulated, block.norm1, scale, shift)
    return _changed(block, shares, video, before, partial(_modulated, block.norm2, scale_mlp, shift_mlp))


def _modulated(norm: Norm, scale: Tensor, shift: Tensor, part: Tensor) -> Tensor:
    return norm(part) * (1 + scale) + shift


def _changed(block: Any, shares: Shares, video: Tensor, before: Norm, behind: Norm) -> Tensor:
    """Adds what each place finds, and what it makes of that; what is read of a frame is read before it
    changes."""
    attention = block.attn
    shape = (*video.shape[:4], attention.heads, attention.head_dim)
    key, value = torch.empty_like(video).view(shape), torch.empty_like(video).view(shape)
    turn = partial(turned, base=attention.rope.base, split=attention.rope.rope_dim_split)
    for frames in _strips(video):
        part = before(video[:, frames])
        turning = attention.norm_k(attention.to_k(part).unflatten(-1, shape[-2:]))
        key[:, frames] = turn(turning, first=frames.start)
        value[:, frames] = attention.to_v(part).unflatten(-1, shape[-2:])
    kernel = attention.kernel_size
    tiles = tiles_of(video.shape[1], kernel[0], TILE[0], video.device)

    def change(number: int) -> Tensor:
        tile = tiles[number]
        mine = video[:, tile.asked.start : tile.asked.stop]
        asking = attention.norm_q(attention.to_q(before(mine)).unflatten(-1, shape[-2:]))
        query = turn(asking * attention.scale, first=tile.asked.start)
        mine += attention.to_out[0](attend(query, key, value, tile, kernel).flatten(-2))
        mine += block.mlp(behind(mine))
        return mine.movedim(1, 0)

    changed = dealt(shares.ranks, [len(tile.asked) for tile in tiles], change, video.movedim(1, 0))
    for tile, made in zip(tiles, changed, strict=True):
        if shares.ranks is not None:
            video[:, tile.asked.start : tile.asked.stop] = made.movedim(0, 1)
    return video


def _in_strips(norm: Norm, video: Tensor) -> Tensor:
    for frames in _strips(video):
        video[:, frames] = norm(video[:, frames])
    return video


def _strips(video: Tensor) -> Iterator[slice]:
    for start in range(0, video.shape[1], TILE[0]):
        yield slice(start, min(start + TILE[0], video.shape[1]))

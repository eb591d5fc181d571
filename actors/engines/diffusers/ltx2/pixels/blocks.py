"""The blocks of diffusers' decoder, some frames at a time: beside the video that goes through them, and the
context, only keys and values are whole. diffusers holds five times as much at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actors.engines.diffusers.ltx2.pixels.neighbours import TILE, attend, tiles_of, turned

Norm = Callable[[Tensor], Tensor]


def install(decoder: Any) -> None:
    """Have the blocks of a `LTX2VideoDiffusionDecoder3d` run here. Those of diffusers refuse what is smaller
    than their kernel, which ComfyUI's core decodes."""
    for block in (each for stage in decoder.det_stages for each in stage):
        block.attn.build_block_mask = _no_mask
        block.forward = partial(_upsampling, block)
    for block in decoder.diff_blocks:
        block.attn.build_block_mask = _no_mask
        block.forward = partial(_denoising, block)
    decoder.norm_out.forward = partial(_in_strips, decoder.norm_out.forward)


def _no_mask(_: Tensor) -> None:
    """None of all places by all places."""


def _upsampling(block: Any, video: Tensor, _: None = None) -> Tensor:
    """`[B, T, H, W, C]`, changed in place."""
    _attended(block.attn, video, block.norm1)
    return _fed_forward(block.mlp, video, block.norm2)


def _denoising(
    block: Any, video: Tensor, context: Tensor, modulation: Sequence[Tensor], _: None = None
) -> Tensor:
    """As `_upsampling`, with the context and the noise level."""
    for frames in _strips(video):
        video[:, frames] += block.context_proj(context[:, frames])
    scale, shift, _, scale_mlp, shift_mlp, _, _ = [
        each + own for each, own in zip(modulation, block.scale_shift_table, strict=True)
    ]
    _attended(block.attn, video, partial(_modulated, block.norm1, scale, shift))
    return _fed_forward(block.mlp, video, partial(_modulated, block.norm2, scale_mlp, shift_mlp))


def _modulated(norm: Norm, scale: Tensor, shift: Tensor, part: Tensor) -> Tensor:
    return norm(part) * (1 + scale) + shift


def _attended(attention: Any, video: Tensor, norm: Norm) -> None:
    """Adds what each place finds; what is read of a frame is read before it changes."""
    shape = (*video.shape[:4], attention.heads, attention.head_dim)
    key, value = torch.empty_like(video).view(shape), torch.empty_like(video).view(shape)
    turn = partial(turned, base=attention.rope.base, split=attention.rope.rope_dim_split)
    for frames in _strips(video):
        part = norm(video[:, frames])
        made = attention.norm_k(attention.to_k(part).unflatten(-1, shape[-2:]))
        key[:, frames] = turn(made, first=frames.start)
        value[:, frames] = attention.to_v(part).unflatten(-1, shape[-2:])
    kernel = attention.kernel_size
    for tile in tiles_of(video.shape[1], kernel[0], TILE[0], video.device):
        frames = slice(tile.asked.start, tile.asked.stop)
        made = attention.norm_q(attention.to_q(norm(video[:, frames])).unflatten(-1, shape[-2:]))
        query = turn(made * attention.scale, first=frames.start)
        video[:, frames] += attention.to_out[0](attend(query, key, value, tile, kernel).flatten(-2))


def _fed_forward(mlp: Any, video: Tensor, norm: Norm) -> Tensor:
    for frames in _strips(video):
        video[:, frames] += mlp(norm(video[:, frames]))
    return video


def _in_strips(norm: Norm, video: Tensor) -> Tensor:
    for frames in _strips(video):
        video[:, frames] = norm(video[:, frames])
    return video


def _strips(video: Tensor) -> Iterator[slice]:
    for start in range(0, video.shape[1], TILE[0]):
        yield slice(start, min(start + TILE[0], video.shape[1]))

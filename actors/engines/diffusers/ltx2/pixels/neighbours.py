"""Attention of each place in a video to its neighbours, exact and in little memory.

A query reads a window of the kernel's size, centred on it where it can be and moved inwards at a border
(NATTEN's `na3d`); a kernel larger than the video is as large as it. Queries are taken in tiles, which read
what their windows cover together; a mask keeps from each what is outside its own. diffusers' own attention
builds a mask of all places by all places, or fetches a kernel from the hub while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.frames import Span

Size = tuple[int, int, int]
TILE: Size = (4, 8, 8)
"""Frames, rows and columns of queries. Larger ones read more for nothing, smaller ones are more calls."""


@dataclass(frozen=True)
class Tile:
    """Queries of one axis, the keys that they read, and which of those each sees, `[asked, read]`."""

    asked: Span
    read: Span
    seen: Tensor


def tiles_of(length: int, kernel: int, tile: int, device: torch.device) -> list[Tile]:
    """The tiles of an axis, in order; the last one may be smaller."""
    kernel = min(kernel, length)
    found = []
    for start in range(0, length, tile):
        asked = Span(start, min(start + tile, length))
        window = (torch.arange(asked.start, asked.stop) - kernel // 2).clamp(0, length - kernel)
        read = Span(int(window[0]), int(window[-1]) + kernel)
        keys, first = torch.arange(read.start, read.stop), window[:, None]
        found.append(Tile(asked, read, ((keys >= first) & (keys < first + kernel)).to(device)))
    return found


@dataclass(frozen=True)
class Columns:
    """All tiles of a row, of one size: the last one begins earlier where they do not come out even. Places of
    queries `[n, tile]` and keys `[n, reach]`, and what is seen, `[n, tile, reach]`."""

    queries: Tensor
    keys: Tensor
    seen: Tensor

    @classmethod
    def of(cls, length: int, kernel: int, tile: int, device: torch.device) -> Columns:
        kernel, tile = min(kernel, length), min(tile, length)
        reach = min(length, tile + kernel - 1)
        first = torch.arange(0, length, tile).clamp(max=length - tile)[:, None]
        queries = first + torch.arange(tile)
        keys = (first - kernel // 2).clamp(0, length - reach) + torch.arange(reach)
        window = (queries - kernel // 2).clamp(0, length - kernel)[:, :, None]
        seen = (keys[:, None] >= window) & (keys[:, None] < window + kernel)
        return cls(queries.to(device), keys.to(device), seen.to(device))


def attend(query: Tensor, key: Tensor, value: Tensor, frames: Tile, kernel: Size) -> Tensor:
    """What the query of one tile of frames `[B, t, H, W, heads, width]`, scaled, finds in all keys and values
    `[B, T, H, W, heads, width]`: of its shape."""
    height, width = query.shape[2:4]
    rows = tiles_of(height, kernel[1], TILE[1], query.device)
    columns = Columns.of(width, kernel[2], TILE[2], query.device)
    near = slice(frames.read.start, frames.read.stop)
    found = torch.empty_like(query)
    for row in rows:
        asked, read = (slice(span.start, span.stop) for span in (row.asked, row.read))
        tiles = F.scaled_dot_product_attention(
            _tiled(query[:, :, asked], columns.queries),
            _tiled(key[:, near, read], columns.keys),
            _tiled(value[:, near, read], columns.keys),
            attn_mask=_seen(frames.seen, row.seen, columns.seen),
            scale=1.0,
        )
        _put(tiles, found[:, :, asked], columns.queries)
    return found


def turned(states: Tensor, base: float, split: Size, first: int) -> Tensor:
    """Rotary positions of frames from number `first`, of `[B, t, H, W, heads, width]`; `split` is how much of
    the width each axis turns."""
    sizes, shape = states.shape[1:4], (*states.shape[1:4], -1)
    angles = []
    for axis, (size, wide) in enumerate(zip(sizes, split, strict=True)):
        exponents = torch.arange(0, wide, 2, dtype=torch.float64, device=states.device) / wide
        places = torch.arange(size, dtype=torch.float32, device=states.device) + (0 if axis else first)
        along = [1, 1, 1, wide // 2]
        along[axis] = size
        angle = (places[:, None] * (1.0 / base**exponents).float()).reshape(along)
        angles.append(angle.expand(shape))
    whole = torch.cat(angles, dim=-1)[:, :, :, None]
    even, odd = states.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = whole.cos(), whole.sin()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(states.dtype)


def _seen(frames: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`[t, T]`, `[h, H]` and `[n, w, W]` -> `[n, 1, thw, THW]`."""
    seen = (
        frames[None, :, None, None, :, None, None]
        & rows[None, None, :, None, None, :, None]
        & columns[:, None, None, :, None, None, :]
    )
    return seen.flatten(4).flatten(1, 3)[:, None]


def _tiled(strip: Tensor, columns: Tensor) -> Tensor:
    """`[B, t, h, W, heads, width]`, in tiles of these columns `[n, w]` -> `[B n, heads, thw, width]`."""
    tiles = strip[:, :, :, columns].permute(0, 3, 5, 1, 2, 4, 6)
    return tiles.flatten(3, 5).flatten(0, 1)


def _put(tiles: Tensor, strip: Tensor, columns: Tensor) -> None:
    """The way back, into `strip`."""
    (batch, t, h, total), (count, wide) = strip.shape[:4], columns.shape
    shape = (batch, count, strip.shape[4], t, h, wide, strip.shape[5])
    back = tiles.reshape(shape).permute(0, 3, 4, 1, 5, 2, 6)
    # All but the last stand side by side. One copy by index would first be sorted, to be deterministic.
    strip[:, :, :, : (count - 1) * wide] = back[:, :, :, :-1].flatten(3, 4)
    strip[:, :, :, total - wide :] = back[:, :, :, -1]

"""The token sequence of one sampling run: the clip, then the guides, each with its own place in time.

Guides are presented as ComfyUI's LTXVAddGuide does from 0.8 on: their latents are appended behind the clip,
their rotary coordinates say which frame they show, and their denoise mask says how firmly they hold (0 is
never noised). After sampling the appended latents are cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.engines.pieces import Piece
from actors.engines.transfer import to_device

TEMPORAL, SPATIAL = 8, 32
"""Pixels per latent along time and along height and width."""


@dataclass(frozen=True)
class Sequence5D:
    """Clip and guides in one latent tensor, with what the transformer must know about each token.

    `latents` `[1, C, T + G, h, w]`, `mask` `[1, 1, T + G, 1, 1]` or None where nothing is held, `coords`
    `[1, 3, N]` (seconds, pixel row, pixel column), `clip` = T, `attention` one weight per appended token
    `[N - T*h*w]` or None where every weight is 1.
    """

    latents: Tensor
    mask: Tensor | None
    coords: Tensor
    clip: int
    attention: Tensor | None


def build_sequence(
    clip: Tensor,
    guides: Sequence[Piece],
    frame_rate: float,
    causal: bool,
    hold: float | Sequence[float] = 0.0,
) -> Sequence5D:
    """Append `guides` to `clip` `[1, C, T, h, w]`, which is held as `hold` says.

    `causal` tells whether the model counts the first latent as one frame (LTX-Video 0.9.5 and later) or as
    eight; a guide that starts a clip or is a still always counts its first latent as one frame.
    """
    latents = torch.cat([clip, *(guide.latents.to(clip) for guide in guides)], dim=2)
    places = [pixel_coords(clip.shape[2:], 0, causal)]
    places += [_guide_coords(guide) for guide in guides]
    coords = torch.cat(places, dim=1).to(torch.float32)
    coords[0] = coords[0] * (1.0 / frame_rate)
    return Sequence5D(
        latents=latents,
        mask=to_device(_mask([Piece(clip, hold=hold), *guides]), clip.device) if guides or hold else None,
        coords=to_device(coords[None], clip.device),
        clip=clip.shape[2],
        attention=_attention(guides, clip),
    )


def pixel_coords(shape: Sequence[int], frame: int, causal: bool) -> Tensor:
    """Start of each token of a `[T, h, w]` grid: frames (from `frame` on) and pixels, int64 `[3, T*h*w]`."""
    frames, rows, columns = (torch.arange(size) for size in shape)
    starts = frames * TEMPORAL
    if causal:
        starts = (starts + 1 - TEMPORAL).clamp(min=0)
    grid = torch.meshgrid(starts + frame, rows * SPATIAL, columns * SPATIAL, indexing="ij")
    return torch.stack(grid).flatten(1)


def tokens_of(latents: Tensor) -> Tensor:
    """`[B, C, T, h, w]` -> `[B, T*h*w, C]`."""
    return latents.flatten(2).transpose(1, 2)


def latents_of(tokens: Tensor, shape: Sequence[int]) -> Tensor:
    """`[B, T*h*w, C]` -> `[B, C, T, h, w]` of `shape`."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *shape[2:])


def _guide_coords(guide: Piece) -> Tensor:
    shape = guide.latents.shape[2:]
    return pixel_coords(shape, guide.frame, causal=guide.frame == 0 or shape[0] == 1)


def _mask(pieces: Sequence[Piece]) -> Tensor:
    return torch.tensor([1.0 - hold for piece in pieces for hold in piece.holds]).view(1, 1, -1, 1, 1)


def _attention(guides: Sequence[Piece], clip: Tensor) -> Tensor | None:
    if all(guide.attention == 1.0 for guide in guides):
        return None
    sizes = [guide.latents[0, 0].numel() for guide in guides]
    parts = [torch.full((size,), guide.attention) for size, guide in zip(sizes, guides, strict=True)]
    return to_device(torch.cat(parts), clip.device)

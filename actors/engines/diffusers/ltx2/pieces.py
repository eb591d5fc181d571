"""What one denoising pass is made of: pieces of picture and sound at their places in time, held or made.

Every latent of 128 values is one token: of the picture `[C]`, of the sound `[channels x bins]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.ltx_video.attention import log_weights
from actors.engines.pieces import Piece
from actors.engines.transfer import to_device
from jobs.frames import SPATIAL, TEMPORAL

_HOP, _RATE, _MELS = 160, 16000, 4
"""Samples of a mel frame and of a second, and mel frames of a latent."""


@dataclass(frozen=True)
class Sound:
    """Audio latents `[1, channels, t, bins]`, `hold` `[t]` as of pieces.

    `shift_s` moves them against the picture by what rounding to whole latents has left. `frozen` sound is
    given, all of it.
    """

    latents: Tensor
    hold: Tensor
    shift_s: float = 0.0

    @property
    def frozen(self) -> bool:
        return bool((self.hold == 1).all())


@dataclass(frozen=True)
class Looks:
    """How the picture's tokens look at each other, where references do not count in full.

    Tokens fall into groups of `sizes`, in order; `bias` `[groups, 1, 1, 1, N]` is added to what the queries
    of each see of all tokens.
    """

    sizes: list[int]
    bias: Tensor

    def to(self, device: torch.device) -> Looks:
        return Looks(self.sizes, to_device(self.bias, device))

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of `[B, heads, N, d]`; no mask of `[N, N]` is made."""
        bias = self.bias.clamp(min=torch.finfo(query.dtype).min).to(query.dtype)
        groups = zip(query.split(self.sizes, dim=2), bias, strict=True)
        seen = [F.scaled_dot_product_attention(part, key, value, attn_mask=row) for part, row in groups]
        return torch.cat(seen, dim=2)


@dataclass(frozen=True)
class Tokens:
    """One side of a pass as the transformer reads it.

    `known` `[1, N, 128]`, `mask` `[1, N, 1]` (how much of the noise reaches a token), `coords`
    `[1, axes, N, 2]` (where it starts and stops), `marks` `[1, N, 1]`; `alike` where all masks are one,
    `looks` where not all see all others alike.
    """

    known: Tensor
    mask: Tensor
    coords: Tensor
    marks: Tensor | None = None
    alike: bool = False
    looks: Looks | None = None

    def to(self, device: torch.device) -> Tokens:
        """On `device`. Whether all masks are `alike` is asked before: a GPU would have to be waited for."""
        marks = None if self.marks is None else to_device(self.marks, device)
        known, mask, coords = (to_device(part, device) for part in (self.known, self.mask, self.coords))
        looks = None if self.looks is None else self.looks.to(device)
        return Tokens(known, mask, coords, marks, bool((self.mask == self.mask[:, :1]).all()), looks)


def looks_of(pieces: Sequence[Piece]) -> Looks | None:
    """None where every reference counts in full: all tokens then look at all others.

    Otherwise as ltx-core has it where each reference has an attention strength (`build_attention_mask`): a
    reference and the clip look at each other by ln of its weight, and it sees no guide and no other
    reference.
    """
    if all(piece.attention == 1 for piece in pieces if piece.reference):
        return None
    sizes = [piece.latents[0, 0].numel() for piece in pieces]
    rows = [
        torch.cat(
            [
                torch.full((size,), _seen(one, other, pieces[0]))
                for other, size in zip(pieces, sizes, strict=True)
            ]
        )
        for one in pieces
    ]
    return Looks(sizes, log_weights(torch.stack(rows))[:, None, None, None])


def _seen(one: Piece, other: Piece, clip: Piece) -> float:
    """The weight with which tokens of one piece see those of another."""
    if one is other or not (one.reference or other.reference):
        return 1.0
    if one is clip or other is clip:
        return float(other.attention if one is clip else one.attention)
    return 0.0


def picture_tokens(pieces: Sequence[Piece], frame_rate: float) -> Tokens:
    """The pieces one after the other."""
    known = torch.cat([piece.latents.float().flatten(2).transpose(1, 2) for piece in pieces], dim=1)
    mask = torch.cat([_for_each_token([1.0 - hold for hold in piece.holds], piece) for piece in pieces])
    marks = torch.cat([_for_each_token(_marks(piece), piece) for piece in pieces])
    coords = torch.cat([picture_coords(piece, frame_rate) for piece in pieces], dim=2)
    return Tokens(known, mask[None, :, None], coords, marks[None, :, None], looks=looks_of(pieces))


def sound_tokens(sound: Sound) -> Tokens:
    known = sound.latents.float().transpose(1, 2).flatten(2)
    return Tokens(known, (1.0 - sound.hold)[None, :, None], sound_coords(known.shape[1], sound.shift_s))


def picture_coords(piece: Piece, frame_rate: float) -> Tensor:
    """Where each token starts and stops, in seconds, rows and columns: `[1, 3, N, 2]` float32."""
    times, rows, columns = piece.latents.shape[2:]
    starts = torch.arange(times, dtype=torch.float32) * TEMPORAL
    ends = starts + TEMPORAL
    if piece.frame == 0:
        # The first latent is one frame: everything moves up by seven, and nothing starts below zero.
        starts, ends = ((edge + 1 - TEMPORAL).clamp(min=0) for edge in (starts, ends))
    starts, ends = starts + piece.frame, ends + piece.frame
    if times == 1:
        ends = starts + 1
    seconds = torch.stack([starts, ends], dim=-1) / frame_rate
    across = [_edges(size) * piece.scale for size in (rows, columns)]
    grid = (
        seconds[:, None, None].expand(times, rows, columns, 2),
        across[0][None, :, None].expand(times, rows, columns, 2),
        across[1][None, None].expand(times, rows, columns, 2),
    )
    return torch.stack(grid).reshape(1, 3, -1, 2)


def sound_coords(latents: int, shift_s: float) -> Tensor:
    """Seconds at which each audio latent starts and stops: `[1, 1, t, 2]`. The first one is one mel frame,
    the others are four (the audio VAE is causal).

    Rounded as Lightricks and diffusers round: rotary frequencies reach 15,708, so that the last bit of a
    second turns an angle by 1e-3.
    """
    mel = torch.arange(latents, dtype=torch.float32) * _MELS
    edges = [(mel + 1 - _MELS).clamp(min=0), mel + 1]
    return (torch.stack(edges, dim=-1) * _HOP / _RATE + shift_s)[None, None]


def held_but(latents: int, made_s: tuple[float, float] | None) -> Tensor:
    """`hold` `[latents]` of given sound that starts with its clip: all of it, but what is heard between two
    moments, seconds."""
    if made_s is None:
        return torch.ones(latents)
    starts, stops = sound_coords(latents, 0.0)[0, 0].unbind(-1)
    return 1.0 - ((stops > made_s[0]) & (starts < made_s[1])).float()


def latents_of_pieces(tokens: Tensor, pieces: Sequence[Piece]) -> list[Tensor]:
    """`[1, N, C]` -> latents of each piece."""
    parts = tokens.split([piece.latents[0, 0].numel() for piece in pieces], dim=1)
    return [
        part.transpose(1, 2).reshape(piece.latents.shape) for part, piece in zip(parts, pieces, strict=True)
    ]


def latents_of_sound(tokens: Tensor, sound: Sound) -> Tensor:
    """`[1, t, channels x bins]` -> `[1, channels, t, bins]`."""
    return tokens.unflatten(2, (sound.latents.shape[1], -1)).transpose(1, 2)


def with_guides(clip: Tensor, guides: Sequence[Piece], hold: float | Sequence[float] = 0.0) -> list[Piece]:
    """The clip, held as `hold` says, with what starts at frame 0 in it, and all other guides and the
    references beside it."""
    filled, holds = clip.clone(), list(Piece(clip, hold=hold).holds)
    for guide in guides:
        if _fills(guide):
            count = guide.latents.shape[2]
            filled[:, :, :count] = guide.latents.to(clip)
            holds[:count] = guide.holds
    beside = [replace(guide, latents=guide.latents.to(clip)) for guide in guides if not _fills(guide)]
    return [Piece(filled, hold=tuple(holds)), *beside]


def within_clip(guides: Sequence[Piece]) -> int:
    """How many latents of guides `with_guides` puts into the clip."""
    return sum(guide.latents.shape[2] for guide in guides if _fills(guide))


def _fills(guide: Piece) -> bool:
    return guide.frame == 0 and not guide.reference


def _for_each_token(values: Sequence[float], piece: Piece) -> Tensor:
    """One value a latent -> one a token."""
    return torch.tensor(values).repeat_interleave(piece.latents[0, 0, 0].numel())


def _marks(piece: Piece) -> list[float]:
    """Which latents are single frames that the transformer makes."""
    marks = [float(piece.marked)] * piece.latents.shape[2]
    if _fills(piece):
        marks[0] = 1.0
    return marks


def _edges(size: int) -> Tensor:
    starts = torch.arange(size, dtype=torch.float32) * SPATIAL
    return torch.stack([starts, starts + SPATIAL], dim=-1)

"""The noise of a pass as tokens of its pieces and its sound.

It is drawn as ComfyUI draws it, so that a seed means one film in both engines: for the latents of the clip
and of all its guides as one clip `[1, C, T + G, h, w]`, then for the sound, and last for references, which
ComfyUI does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from actors.engines.diffusers.ltx2.pieces import Sound
    from actors.engines.noise import Draw, Noise, Noises, Shape
    from actors.engines.pieces import Piece


def noise_of_tokens(
    noises: Noises, pieces: Sequence[Piece], within: int, sound: Sound, device: torch.device
) -> tuple[Noise, Noise]:
    """Draw noise `[1, N + t, 128]` of all pieces and then the sound: for the start and for the steps.

    `within` counts the latents of guides that stand in the clip itself: ComfyUI has them behind it, and draws
    noise for them there.
    """
    first, later = noises.sources(_shapes(pieces, within, sound), device)
    to_tokens = _arranging(pieces, within)
    return _tokens(first, to_tokens), _tokens(later, to_tokens)


def _shapes(pieces: Sequence[Piece], within: int, sound: Sound) -> list[Shape]:
    one, channels, _, *size = pieces[0].latents.shape
    latents = within + sum(piece.latents.shape[2] for piece in pieces if not piece.reference)
    references = [tuple(piece.latents.shape) for piece in pieces if piece.reference]
    return [(one, channels, latents, *size), tuple(sound.latents.shape), *references]


def _arranging(pieces: Sequence[Piece], within: int) -> Callable[[list[Tensor]], Tensor]:
    beside = [piece.latents.shape[2] for piece in pieces[1:] if not piece.reference]
    clip = pieces[0].latents.shape[2]

    def tokens(drawn: list[Tensor]) -> Tensor:
        picture, sound, *references = drawn
        made, _, *guides = picture.split([clip, within, *beside], dim=2)
        rest = {True: iter(references), False: iter(guides)}
        parts = [made, *(next(rest[piece.reference]) for piece in pieces[1:])]
        shown = [part.flatten(2).transpose(1, 2) for part in parts]
        return torch.cat([*shown, sound.transpose(1, 2).flatten(2)], dim=1)

    return tokens


def _tokens(draw: Draw, to_tokens: Callable[[list[Tensor]], Tensor]) -> Noise:
    return lambda: to_tokens(draw())

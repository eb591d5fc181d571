"""Arithmetic on normalised latents that every engine does alike."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.engines.pieces import Piece
    from jobs.planning.params import DecodeParams, PassParams

_MELS_PER_S, _MELS = 100, 4
"""Mel frames a second, and of a latent; the first latent is one alone."""
_STEEPEST, _MOST = 4.0, 0.8
_FULL = 0.75
"""Constants of Lightricks' tone map: slope of its sigmoid, its largest cut, and what compression 1 means."""


@dataclass(frozen=True)
class DecodeSettings:
    """How a decode differs from the model's own way; None keeps that. `first` is the number of its first
    latent in the shot."""

    timestep: float | None = None
    noise_scale: float | None = None
    tone_map: float = 0.0
    first: int = 0

    @classmethod
    def of(cls, params: DecodeParams) -> DecodeSettings:
        return cls(params.timestep, params.noise_scale, params.tone_map, params.window.context.start)


AS_TRAINED = DecodeSettings()


def tone_mapped(latents: Tensor, compression: float) -> Tensor:
    """Large values made smaller by a sigmoid of their size; 0 changes nothing, 1 most. Any shape.

    As Lightricks' LTXVideoPipeline does before its decode.
    """
    if compression == 0.0:
        return latents
    share = compression * _FULL
    return latents * (1.0 - _MOST * share * torch.sigmoid(_STEEPEST * share * (latents.abs() - 1.0)))


def with_statistics_of(reference: Tensor, latents: Tensor, share: float) -> Tensor:
    """Mean and standard deviation of each channel brought to those of `reference`, both `[1, C, T, h, w]`, by
    that share (adaptive instance normalisation, Huang and Belongie, 2017)."""
    if share == 0.0:
        return latents
    over = (2, 3, 4)
    std, mean = torch.std_mean(latents, dim=over, keepdim=True)
    wanted_std, wanted_mean = torch.std_mean(reference, dim=over, keepdim=True)
    return torch.lerp(latents, (latents - mean) / std * wanted_std + wanted_mean, share)


def opened(run: PassParams, clip: Tensor, guides: Sequence[Piece]) -> Tensor:
    """The clip with the still in its first latent, which shows one frame as the still does, where it begins
    with one; the chain's own latent there shows eight."""
    if run.excerpt is None or run.span.artifact.start not in run.excerpt.stills:
        return clip
    return torch.cat([guides[0].latents.to(clip), clip[:, :, 1:]], dim=2)


def lasting(sound: Tensor, seconds: float) -> Tensor:
    """Audio latents `[1, channels, t, bins]`, the last one repeated until they sound for `seconds`.

    A clip's own are the nearest whole number, and may end early. The audio VAE is causal: the others sound as
    they did.
    """
    mels = ceil(seconds * _MELS_PER_S - 1e-6)
    missing = max(0, ceil((mels + _MELS - 1) / _MELS) - sound.shape[2])
    return torch.cat([sound, sound[:, :, -1:].expand(-1, -1, missing, -1)], dim=2)

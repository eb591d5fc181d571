"""Reads a clip of the procedural world: which object, where, over what. Knows the palette, nothing of the
model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from tools.train_tiny.procedural.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    RADIUS,
    SHAPES,
    Frame,
    backdrop,
    distance,
)

FOREGROUND = 0.27
"""RGB distance from the empty background above which a pixel belongs to the object; shadows stay below."""


@dataclass(frozen=True)
class Reading:
    """What one clip shows. `track` [F, 2] is the object's centre in units of the short side, x then y."""

    colour: str
    shape: str
    background: str
    track: torch.Tensor
    present: torch.Tensor

    @property
    def steps(self) -> torch.Tensor:
        """Distance in units that the centre moves between neighbouring frames [F - 1]."""
        return (self.track[1:] - self.track[:-1]).norm(dim=1)

    def direction(self, frames: int = 10) -> str:
        """The nearest of the eight directions of the move over the first `frames` frames."""
        x, y = (self.track[frames] - self.track[0]).tolist()
        return DIRECTIONS[round(math.atan2(y, x) / (math.pi / 4)) % 8]


def read(clip: torch.Tensor) -> Reading:
    """Read a clip [F, 3, H, W] in [0, 1]."""
    frame = Frame(*clip.shape[2:])
    background = _background(clip)
    empty = backdrop(torch.tensor([background], device=clip.device), frame)
    away = (clip - empty).norm(dim=1)
    weight = ((away - FOREGROUND) / 0.12).clamp(0, 1)
    track = _centroids(weight, frame)
    shape, colour = _shape(weight, track, frame), _colour(clip, away)
    area = weight.sum((1, 2)) / frame.short**2
    present = (area > 0.4 * _area(shape)) & (area < 1.7 * _area(shape))
    return Reading(
        list(COLOURS)[colour], SHAPES[shape], list(BACKGROUNDS)[background], track.cpu(), present.cpu()
    )


def _background(clip: torch.Tensor) -> int:
    """The palette entry nearest to the median colour of the clip."""
    median = clip[:: max(1, len(clip) // 16)].transpose(0, 1).flatten(1).median(dim=1).values
    palette = torch.tensor(list(BACKGROUNDS.values()), device=clip.device)
    return int((palette - median).norm(dim=1).argmin())


def _colour(clip: torch.Tensor, away: torch.Tensor) -> int:
    """The palette entry nearest to the mean colour of the pixels that differ most from the background."""
    inside = away > torch.maximum(
        0.65 * away.amax((1, 2), keepdim=True), torch.tensor(FOREGROUND, device=clip.device)
    )
    pixels = clip.permute(0, 2, 3, 1)[inside]
    if len(pixels) == 0:
        return 0
    palette = torch.tensor(list(COLOURS.values()), device=clip.device)
    return int((palette - pixels.mean(0)).norm(dim=1).argmin())


def _centroids(weight: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Centres of mass [F, 2] in units."""
    y = (torch.arange(frame.height, device=weight.device) + 0.5) / frame.short
    x = (torch.arange(frame.width, device=weight.device) + 0.5) / frame.short
    total = weight.sum((1, 2)).clamp(min=1e-6)
    return torch.stack([(weight.sum(1) * x).sum(1) / total, (weight.sum(2) * y).sum(1) / total], dim=1)


def _templates(track: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Coverage [F, S, H, W] of each shape with its centre of mass on the track."""
    y = (torch.arange(frame.height, device=track.device) + 0.5) / frame.short
    x = (torch.arange(frame.width, device=track.device) + 0.5) / frame.short
    dx = (x[None, None, None, :] - track[:, None, None, None, 0]).expand(-1, len(SHAPES), frame.height, -1)
    dy = (y[None, None, :, None] - track[:, None, None, None, 1]).expand(-1, len(SHAPES), -1, frame.width)
    shape = torch.arange(len(SHAPES), device=track.device)[None, :, None, None]
    dy = dy + _mass_offset(shape)
    return (0.5 - distance(shape, dx, dy) * frame.short).clamp(0, 1)


def _mass_offset(shape: torch.Tensor) -> torch.Tensor:
    """How far a shape's centre of mass lies below its centre, in units: a triangle's is at two thirds of its
    height.
    """
    apex, base = -1.12 * RADIUS, 0.80 * RADIUS
    return torch.where(shape == 2, apex + (base - apex) * 2 / 3, 0.0)


def _shape(weight: torch.Tensor, track: torch.Tensor, frame: Frame) -> int:
    """The shape whose silhouette overlaps the object best over up to 24 frames."""
    some = torch.linspace(0, len(weight) - 1, min(24, len(weight))).long()
    templates, seen = _templates(track[some], frame), weight[some][:, None]
    overlap = torch.minimum(templates, seen).sum((2, 3)) / torch.maximum(templates, seen).sum((2, 3)).clamp(
        min=1e-6
    )
    return int(overlap.mean(0).argmax())


def _area(shape: int) -> float:
    """Area of a shape in square units."""
    side = 2 * 0.86 * RADIUS
    height = 1.92 * RADIUS
    return (math.pi * RADIUS**2, side**2, height**2 / math.sqrt(3))[shape]

"""Unit noise of a run: a clip's own, or that of its shot. Drawn on the CPU: every device gets the same. And
that of pixels, which are a hundred times as many and are drawn where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

from jobs.planning.seeds import derive_seed

Noise = Callable[[], Tensor]
"""Fresh unit noise of what is sampled."""

Shape = tuple[int, ...]
Draw = Callable[[], list[Tensor]]
"""Fresh unit noise: a tensor for each of the shapes that a run samples at once."""


def noise_source(like: Tensor, seed: int) -> Noise:
    """Unit noise drawn on the CPU, so that every device gets the same."""
    draw = _drawing([tuple(like.shape)], like.device, seed)
    return lambda: draw()[0]


class Noises(Protocol):
    """Where the noise of a run comes from."""

    def sources(self, shapes: Sequence[Shape], device: torch.device) -> tuple[Draw, Draw]:
        """For the start and for the steps. The first shape is that of latents `[1, C, T + G, h, w]`, the
        clip's before those of its guides; what is sampled beside them, such as sound, has the others."""


@dataclass(frozen=True)
class ClipNoise:
    """A clip's own noise, in the order of ComfyUI's: pictures by channels, then the sound; steps use
    seed + 1."""

    seed: int

    def sources(self, shapes: Sequence[Shape], device: torch.device) -> tuple[Draw, Draw]:
        return _drawing(shapes, device, self.seed), _drawing(shapes, device, self.seed + 1)


@dataclass(frozen=True)
class ShotNoise:
    """The noise of a shot: each latent has its own by its number there, whatever clip it is denoised in.

    `clip` is the shape `[1, C, T, h, w]` of one whose first latent is number `first`. What comes behind it
    (guides) and beside it (sound) belongs to the clip.
    """

    seed: int
    first: int
    clip: Shape

    def sources(self, shapes: Sequence[Shape], device: torch.device) -> tuple[Draw, Draw]:
        draws = count()

        def draw() -> list[Tensor]:
            drawn = self.drawn(next(draws), shapes)
            if device.type == "cuda":
                return [noise.pin_memory().to(device, non_blocking=True) for noise in drawn]
            return [noise.to(device) for noise in drawn]

        return draw, draw

    def drawn(self, number: int, shapes: Sequence[Shape]) -> list[Tensor]:
        """Draw `number` of a run, on the CPU."""
        one = (*self.clip[:2], 1, *self.clip[3:])
        each = [self._unit(one, number, self.first + latent) for latent in range(self.clip[2])]
        behind = (*shapes[0][:2], shapes[0][2] - self.clip[2], *shapes[0][3:])
        picture = torch.cat([*each, self._unit(behind, number, "behind", self.first)], dim=2)
        beside = enumerate(shapes[1:])
        return [picture, *(self._unit(shape, number, "beside", self.first, at) for at, shape in beside)]

    def _unit(self, shape: Shape, *parts: str | int) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(derive_seed(self.seed, *parts))
        return torch.randn(shape, generator=generator)


def frame_noise(shape: tuple[int, ...], first: int, dtype: torch.dtype, device: Any) -> Tensor:
    """Unit noise of pixels `[B, C, F, H, W]`: each frame has its own, by its number in the shot, in whichever
    window it is decoded. `first` is the number of the first one."""
    generator, noise = torch.Generator(device), torch.empty(shape, dtype=dtype, device=device)
    for index in range(shape[2]):
        noise[:, :, index].normal_(generator=generator.manual_seed(first + index))
    return noise


def _drawing(shapes: Sequence[Shape], device: torch.device, seed: int) -> Draw:
    """All shapes as one row of numbers, as ComfyUI draws them.

    It goes to a GPU through page-locked memory: an ordinary copy would first wait for all that the device has
    yet to do.
    """
    generator, on_gpu = torch.Generator("cpu").manual_seed(seed), device.type == "cuda"
    sizes = [prod(shape) for shape in shapes]

    def draw() -> list[Tensor]:
        row = torch.randn(sum(sizes), generator=generator, pin_memory=on_gpu)
        row = row.to(device, non_blocking=on_gpu)
        return [part.view(shape) for part, shape in zip(row.split(sizes), shapes, strict=True)]

    return draw

"""Unit noise of a run: a clip's own, or that of its shot. Drawn on the CPU: every device gets the same. And
that of pixels, which are a hundred times as many and are drawn where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import torch
from torch import Tensor

from jobs.planning.seeds import derive_seed

Noise = Callable[[], Tensor]
"""Fresh unit noise of the clip's shape."""


def noise_source(like: Tensor, seed: int) -> Noise:
    """Unit noise drawn on the CPU, so that every device gets the same.

    It goes to a GPU through page-locked memory: an ordinary copy would first wait for all that the device has
    yet to do.
    """
    generator, on_gpu = torch.Generator("cpu").manual_seed(seed), like.device.type == "cuda"

    def draw() -> Tensor:
        drawn = torch.randn(like.shape, generator=generator, pin_memory=on_gpu)
        return drawn.to(like.device, non_blocking=on_gpu)

    return draw


class Noises(Protocol):
    """Where the noise of a run comes from."""

    def sources(self, like: Tensor) -> tuple[Noise, Noise]:
        """For the start and for the steps: unit noise of the shape of `like`, which is latents
        `[1, C, T + G, h, w]` or their tokens `[1, N, C]`, the clip's first."""


@dataclass(frozen=True)
class ClipNoise:
    """A clip's own noise; steps use seed + 1, as ComfyUI's do."""

    seed: int

    def sources(self, like: Tensor) -> tuple[Noise, Noise]:
        return noise_source(like, self.seed), noise_source(like, self.seed + 1)


@dataclass(frozen=True)
class ShotNoise:
    """The noise of a shot: each latent has its own by its number there, whatever clip it is denoised in.

    `clip` is the shape `[1, C, T, h, w]` of one whose first latent is number `first`. What comes behind it
    (guides, sound) belongs to the clip.
    """

    seed: int
    first: int
    clip: tuple[int, ...]

    def sources(self, like: Tensor) -> tuple[Noise, Noise]:
        draws = count()

        def draw() -> Tensor:
            drawn = self.drawn(next(draws), tuple(like.shape))
            if like.device.type == "cuda":
                return drawn.pin_memory().to(like.device, non_blocking=True)
            return drawn.to(like.device)

        return draw, draw

    def drawn(self, number: int, shape: tuple[int, ...]) -> Tensor:
        """Draw `number` of a run, on the CPU."""
        one = (*self.clip[:2], 1, *self.clip[3:])
        each = [self._unit(one, number, self.first + latent) for latent in range(self.clip[2])]
        noise, axis = torch.cat(each, dim=2), 2
        if len(shape) == 3:
            noise, axis = noise.flatten(2).transpose(1, 2), 1
        behind = (*shape[:axis], shape[axis] - noise.shape[axis], *shape[axis + 1 :])
        return torch.cat([noise, self._unit(behind, number, "behind", self.first)], dim=axis)

    def _unit(self, shape: tuple[int, ...], *parts: str | int) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(derive_seed(self.seed, *parts))
        return torch.randn(shape, generator=generator)


def frame_noise(shape: tuple[int, ...], first: int, dtype: torch.dtype, device: Any) -> Tensor:
    """Unit noise of pixels `[B, C, F, H, W]`: each frame has its own, by its number in the shot, in whichever
    window it is decoded. `first` is the number of the first one."""
    generator, noise = torch.Generator(device), torch.empty(shape, dtype=dtype, device=device)
    for index in range(shape[2]):
        noise[:, :, index].normal_(generator=generator.manual_seed(first + index))
    return noise

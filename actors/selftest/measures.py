"""What is measured of a model: its round trips, its steps beside the judge's, its memory.

Everything goes through the engine that renders, but for the judge.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from actors.engines.diffusers.ltx_video.tokens import tokens_of
from actors.selftest.judge import JUDGED_CFG, judged_sigmas
from jobs.frames import frames_of
from jobs.planning.sampling import PlannedGuider, Sampling

if TYPE_CHECKING:
    from actors.payload import Payload
    from actors.selftest.subject import ModelUnderTest


def moving_ball(width: int, height: int, frames: int) -> np.ndarray:
    """A shaded red ball that crosses a teal background: uint8 `[frames, height, width, 3]`."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    shade = 1.05 - 0.15 * rows / height
    background = np.stack([0.06 * shade, 0.46 * shade, 0.49 * shade], axis=-1)
    radius, made = 0.16 * min(width, height), []
    for frame in range(frames):
        x = width * (0.25 + 0.5 * frame / max(1, frames - 1))
        away = np.hypot(columns - x, rows - height / 2)
        light = np.clip(
            1.0 - np.hypot(columns - x + radius / 3, rows - height / 2 + radius / 3) / (2 * radius), 0, 1
        )
        ball = np.stack([0.55 + 0.4 * light, 0.1 + 0.2 * light, 0.1 + 0.2 * light], axis=-1)
        inside = np.clip(radius - away, 0, 1)[..., None]
        made.append(background * (1 - inside) + ball * inside)
    return (np.stack(made) * 255).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Reconstruction:
    """A synthetic clip, encoded and decoded. `latent_rms` is the root mean square of the normalised latents:
    near 1 where the statistics fit the encoder. `spread` is the largest of a channel over the median one."""

    psnr_db: float
    latent_rms: float
    spread: float


def reconstruct(subject: ModelUnderTest) -> Reconstruction:
    frames = moving_ball(subject.width, subject.height, frames_of(subject.latents))
    latents = subject.encode(frames)
    error = np.mean((subject.decode(latents).astype(np.float64) - frames) ** 2)
    by_channel = latents.square().mean(dim=(0, 2, 3, 4)).sqrt()
    return Reconstruction(
        psnr_db=float(10 * np.log10(255.0**2 / max(error, 1e-9))),
        latent_rms=float(latents.square().mean().sqrt()),
        spread=float(by_channel.max() / by_channel.median()),
    )


def round_trip(subject: ModelUnderTest, latents: Tensor) -> float:
    """Correlation of sampled latents `[1, C, T, h, w]` with those of their own decoded frames: 1 where what
    the transformer makes is what the VAE understands."""
    again = subject.encode(subject.decode(latents))
    return float(torch.corrcoef(torch.stack([latents.flatten(), again.flatten()]))[0, 1])


def own_steps(subject: ModelUnderTest, words: Payload, steps: int) -> list[Tensor]:
    """The clip after each of the first `steps` steps, `[1, C, T, h, w]`: each from a run that stops there,
    whose scaling is undone."""
    sigmas = judged_sigmas(subject)
    cfg = 1.0 if subject.causal else JUDGED_CFG
    sampling = Sampling(steps, cfg, "euler", None, PlannedGuider(), 2.05, 0.95)
    return [
        subject.sample(words, replace(sampling, sigmas=sigmas[: count + 1])) * (1 - sigmas[count])
        for count in range(1, steps + 1)
    ]


def differences(own: list[Tensor], judged: list[Tensor]) -> list[float]:
    """Relative L2 distance of every step."""
    pairs = zip(map(tokens_of, own), judged, strict=True)
    return [float((one - other).norm() / other.norm()) for one, other in pairs]


@contextmanager
def peak_memory(device: str) -> Iterator[Callable[[], float]]:
    """GiB at most in use inside: of the device, or of this process from its start where that is a CPU."""
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)

    def peak() -> float:
        if on_gpu:
            return torch.cuda.max_memory_allocated(device) / 2**30
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

    yield peak

"""Integrators of the flow from noise to latents.

x is the noisy clip, a sigma runs from 1 (noise) to 0, and the model answers with the denoised clip. Sigmas
live on the CPU: what a sampler decides by them must not wait for the device. Euler
and Heun are from Karras et al. (2022); the ancestral variant for rectified flow and DPM-Solver++(2M) (Lu et
al., 2022) follow k-diffusion's conventions, as ComfyUI runs them, so that both engines draw the same film.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x `[1, C, T, h, w]`, sigma `[]` on the CPU) -> denoised, same shape."""

Noise = Callable[[], Tensor]
"""Fresh unit noise of the clip's shape."""

Sampler = Callable[[Denoise, Tensor, Tensor, Noise], Tensor]


def noise_source(like: Tensor, seed: int) -> Noise:
    """Unit noise drawn on the CPU, so that every device gets the same; ancestral steps use seed + 1.

    It goes to a GPU through page-locked memory: an ordinary copy would first wait for all that the device has
    yet to do.
    """
    generator, on_gpu = torch.Generator("cpu").manual_seed(seed), like.device.type == "cuda"

    def draw() -> Tensor:
        drawn = torch.randn(like.shape, generator=generator, pin_memory=on_gpu)
        return drawn.to(like.device, non_blocking=on_gpu)

    return draw


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (sigma_next - sigma)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Each step goes further down than asked and climbs back with fresh noise that keeps the variance."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        down = sigma_next * (1 + (sigma_next / sigma - 1))
        signal_next, signal_down = 1 - sigma_next, 1 - down
        renoise = (sigma_next**2 - down**2 * signal_next**2 / signal_down**2) ** 0.5
        x = (down / sigma) * x + (1 - down / sigma) * denoised
        x = (signal_next / signal_down) * x + noise() * renoise
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + slope * (sigma_next - sigma)
        if sigma_next > 0:
            slope = (slope + (ahead - denoise(ahead, sigma_next)) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Second order multistep in log sigma; the first and the last step are first order."""
    previous: tuple[Tensor, Tensor] | None = None
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        target = denoised
        if previous is not None and sigma_next > 0:
            last_sigma, last_denoised = previous
            ratio = (last_sigma / sigma).log() / (sigma / sigma_next).log()
            target = (1 + 1 / (2 * ratio)) * denoised - (1 / (2 * ratio)) * last_denoised
        x = (sigma_next / sigma) * x + (1 - sigma_next / sigma) * target
        previous = (sigma, denoised)
    return x


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
}

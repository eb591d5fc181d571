"""Integrators of the flow from noise to latents.

x is the noisy clip, a sigma runs from 1 (noise) to 0, and the model answers with the denoised clip. Sigmas
live on the CPU: what a sampler decides by them must not wait for the device. Euler
and Heun are from Karras et al. (2022); the ancestral variant for rectified flow and DPM-Solver++(2M) (Lu et
al., 2022) follow k-diffusion's conventions, as ComfyUI runs them, so that both engines draw the same film.
`lcm` is consistency sampling (Luo et al., 2023) on the straight flow, which Lightricks calls stochastic
sampling. `res_2s` is the exponential Runge-Kutta method of second order (Hochbruck and Ostermann, 2005) with
the noise that ltx-pipelines adds to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from actors.engines.noise import Noise

Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x `[1, C, T, h, w]`, sigma `[]` on the CPU) -> denoised, same shape."""

Sampler = Callable[[Denoise, Tensor, Tensor, Noise], Tensor]


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (sigma_next - sigma)
    return x


def euler_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise, eta: float = 1.0) -> Tensor:
    """Each step goes further down than asked, by `eta`, and climbs back with fresh noise that keeps the
    variance."""
    for sigma, sigma_next in pairwise(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
        signal_next, signal_down = 1 - sigma_next, 1 - down
        renoise = (sigma_next**2 - down**2 * signal_next**2 / signal_down**2) ** 0.5
        x = (down / sigma) * x + (1 - down / sigma) * denoised
        x = (signal_next / signal_down) * x + noise() * renoise
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + slope * (sigma_next - sigma)
        if sigma_next > 0:
            slope = (slope + (ahead - denoise(ahead, sigma_next)) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, _noise: Noise) -> Tensor:
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


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Each step goes all the way to the clip and back up with fresh noise."""
    for sigma, sigma_next in pairwise(sigmas):
        x = denoise(x, sigma)
        if sigma_next > 0:
            x = (1 - sigma_next) * x + sigma_next * noise()
    return x


LAST_LEVEL = 0.0011
"""Where `res_2s` ends before its last look at the clip: a step in log sigma cannot reach 0."""

SMALL_STEP, LEAST_SIGMA = 0.5, 0.03
"""Steps in log sigma below this, from a sigma above that, have their start corrected for the noise added at
the midpoint."""


def res_2s(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
    """Two looks at the clip a step: at its start and at the geometric mean of its two sigmas. Noise is drawn
    for the midpoint and again for the end; sums run in float64."""
    levels = [float(sigma) for sigma in sigmas]
    steps = [*levels[:-1], LAST_LEVEL] if levels[-1] == 0 else levels
    for sigma, sigma_next in pairwise(steps):
        x = _res_2s_step(denoise, x, sigma, sigma_next, noise)
    return denoise(x, sigmas.new_tensor(LAST_LEVEL)) if levels[-1] == 0 else x


def _res_2s_step(denoise: Denoise, x: Tensor, sigma: float, sigma_next: float, noise: Noise) -> Tensor:
    start, step, middle = x.double(), math.log(sigma / sigma_next), math.sqrt(sigma * sigma_next)
    half = -math.expm1(-step / 2)
    clip = denoise(x, torch.tensor(sigma, dtype=torch.float32)).double()
    halfway = _with_noise(start, start + half * (clip - start), sigma, middle, noise)
    if step < SMALL_STEP and sigma > LEAST_SIGMA:
        start = (halfway - half * clip) / (1 - half)
    second = denoise(halfway.to(x.dtype), torch.tensor(middle, dtype=torch.float32)).double()
    whole = -math.expm1(-step)
    late = 2 * (step - whole) / step
    ahead = start + (whole - late) * (clip - start) + late * (second - start)
    return _with_noise(start, ahead, sigma, sigma_next, noise).to(x.dtype)


def _with_noise(x: Tensor, ahead: Tensor, sigma: float, sigma_next: float, noise: Noise) -> Tensor:
    """`ahead`, reached from `x`, with a part of its noise replaced by half of `sigma_next` of fresh noise."""
    fresh = sigma_next / 2
    kept = math.sqrt(sigma_next**2 - fresh**2)
    scale = 1 - sigma_next + kept
    slope = (x - ahead) / (sigma - sigma_next)
    drawn = noise().double()
    drawn = (drawn - drawn.mean()) / drawn.std()
    return scale * (x - sigma * slope) + kept * slope + fresh * drawn


def settling(sampler: Sampler, settle: Callable[[Tensor], Tensor]) -> Sampler:
    """A sampler of single steps after each of which `settle` has its say."""

    def run(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Noise) -> Tensor:
        for step in pairwise(sigmas):
            x = settle(sampler(denoise, x, torch.stack(step), noise))
        return x

    return run


RENEWING: frozenset[Sampler] = frozenset({euler_ancestral, lcm})
"""Samplers of single steps that end in fresh noise, which wears down what is held in part."""

SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "lcm": lcm,
    "res_2s": res_2s,
}

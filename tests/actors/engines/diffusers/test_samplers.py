"""Samplers on flows whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actors.engines.diffusers.samplers import SAMPLERS, noise_source

SIGMAS = torch.tensor([1.0, 0.8, 0.55, 0.3, 0.1, 0.0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_known_clip_is_reached(name: str) -> None:
    """A denoiser that always answers with the same clip must end there."""
    clip, start = torch.randn(2, 3), torch.randn(2, 3)
    ended = SAMPLERS[name](lambda x, sigma: clip, start, SIGMAS, noise_source(start, 1))
    torch.testing.assert_close(ended, clip)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_the_order_of_convergence(name: str, order: int) -> None:
    """For a Gaussian target of variance v the denoiser is linear and the flow is known in closed form."""
    variance = 0.25

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        signal = 1 - sigma
        return signal * variance / (signal**2 * variance + sigma**2) * x

    def spread(sigma: float) -> float:
        return ((1 - sigma) ** 2 * variance + sigma**2) ** 0.5

    start = torch.tensor([1.7], dtype=torch.float64)
    exact = start * spread(0.2) / spread(0.9)
    errors = []
    for steps in (40, 80):
        sigmas = torch.linspace(0.9, 0.2, steps + 1, dtype=torch.float64)
        ended = SAMPLERS[name](denoise, start, sigmas, noise_source(start, 1))
        errors.append(float((ended - exact).abs()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.25)


def test_ancestral_steps_keep_the_variance_of_the_flow() -> None:
    """Under a perfect denoiser of a point mass, the noise left at sigma is sigma."""
    start = torch.randn(200_000)
    ended = SAMPLERS["euler_ancestral"](
        lambda x, sigma: torch.zeros_like(x), start, torch.tensor([1.0, 0.7, 0.4]), noise_source(start, 3)
    )
    assert float(ended.std()) == pytest.approx(0.4, rel=0.01)


def test_noise_is_drawn_on_the_cpu_and_repeats() -> None:
    like = torch.zeros(2, 2)
    first, second = noise_source(like, 5), noise_source(like, 5)
    assert torch.equal(first(), second())
    assert not torch.equal(first(), noise_source(like, 5)())

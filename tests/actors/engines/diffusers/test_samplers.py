"""Samplers on flows whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from actors.engines.diffusers.samplers import SAMPLERS, euler_ancestral, settling
from actors.engines.noise import noise_source

SIGMAS = torch.tensor([1.0, 0.8, 0.55, 0.3, 0.1, 0.0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_known_clip_is_reached(name: str) -> None:
    """A denoiser that always answers with the same clip must end there."""
    clip, start = torch.randn(2, 3), torch.randn(2, 3)
    ended = SAMPLERS[name](lambda _x, _sigma: clip, start, SIGMAS, noise_source(start, 1))
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
        lambda x, _: torch.zeros_like(x), start, torch.tensor([1.0, 0.7, 0.4]), noise_source(start, 3)
    )
    assert float(ended.std()) == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ancestral_steps_are_those_of_diffusers(eta: float) -> None:
    from diffusers.schedulers import LTXEulerAncestralRFScheduler

    scheduler, sigmas = LTXEulerAncestralRFScheduler(eta=eta), SIGMAS[:-1]
    scheduler.set_timesteps(sigmas=SIGMAS)
    start, clip = torch.randn(4, 5), torch.randn(4, 5)
    wanted, generator = start, torch.Generator().manual_seed(5)
    for sigma, level in zip(sigmas[:-1], scheduler.timesteps, strict=False):
        velocity = (wanted - clip) / sigma
        wanted = scheduler.step(velocity, level, wanted, generator=generator, return_dict=False)[0]
    noise = noise_source(start, 5)
    ended = euler_ancestral(lambda _x, _sigma: clip, start, sigmas, noise, eta)
    torch.testing.assert_close(ended, wanted)


def test_what_settles_after_each_step() -> None:
    seen: list[float] = []

    def settle(x: Tensor) -> Tensor:
        seen.append(float(x.mean()))
        return torch.zeros_like(x)

    start = torch.ones(3)
    ended = settling(SAMPLERS["euler"], settle)(lambda x, _: x + 1, start, SIGMAS, noise_source(start, 1))
    assert len(seen) == len(SIGMAS) - 1
    assert seen[-1] == 1.0
    assert not ended.any()


@pytest.mark.parametrize("name", ["lcm", "res_2s"])
def test_samplers_with_fresh_noise_keep_the_flow(name: str) -> None:
    """With a point mass at 0 the clip is noise alone: at each sigma its spread is sigma, up to what `res_2s`
    loses by its midpoint."""
    start = torch.randn(200_000)
    ended = SAMPLERS[name](
        lambda x, _: torch.zeros_like(x), start, torch.tensor([1.0, 0.7, 0.4]), noise_source(start, 3)
    )
    assert float(ended.std()) == pytest.approx(0.4, rel=0.05 if name == "res_2s" else 0.01)


def curved(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser that bends with the noise level."""
    return torch.tanh(x) * (1 - 0.6 * float(sigma)) + 0.2


def judged(scheduler: Any, sigmas: Tensor, start: Tensor) -> list[Tensor]:
    """The steps of a diffusers scheduler."""
    steps, x = [], start
    for sigma, timestep in zip(sigmas, scheduler.timesteps, strict=False):
        velocity = (x - curved(x, sigma)) / sigma
        x = scheduler.step(velocity, timestep, x, return_dict=False)[0]
        steps.append(x)
    return steps


@pytest.mark.parametrize("name", ["lcm", "euler_ancestral", "euler"])
def test_the_schedulers_of_diffusers_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step at equal noise, `FlowMatchLCM`, `LTXEulerAncestralRF` and `FlowMatchEuler` as judges."""
    from diffusers import schedulers
    from diffusers.schedulers import scheduling_flow_match_lcm, scheduling_ltx_euler_ancestral_rf

    sigmas, start, noise = SIGMAS, torch.randn(1, 4, 3, 2, 2), torch.randn(1, 4, 3, 2, 2)
    for module in (scheduling_flow_match_lcm, scheduling_ltx_euler_ancestral_rf):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise)
    if name == "euler_ancestral":
        judge = schedulers.LTXEulerAncestralRFScheduler()
        judge.set_timesteps(sigmas=sigmas)
    else:
        kind = (
            schedulers.FlowMatchLCMScheduler if name == "lcm" else schedulers.FlowMatchEulerDiscreteScheduler
        )
        judge = kind()
        judge.set_timesteps(sigmas=sigmas[:-1].tolist())
    for count, theirs in enumerate(judged(judge, sigmas, start), 1):
        ours = SAMPLERS[name](curved, start, sigmas[: count + 1], lambda: noise)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)


def test_noise_is_drawn_on_the_cpu_and_repeats() -> None:
    like = torch.zeros(2, 2)
    first, second = noise_source(like, 5), noise_source(like, 5)
    assert torch.equal(first(), second())
    assert not torch.equal(first(), noise_source(like, 5)())

"""`res_2s` beside the loop of ltx-pipelines, step by step at equal noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actors.engines.diffusers.samplers import res_2s

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]

LEVELS = (1.0, 0.97, 0.9, 0.7, 0.4, 0.1, 0.0)
SHAPE = (1, 24, 16)


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser that bends with the noise level."""
    return torch.tanh(x) * (1 - 0.6 * float(sigma)) + 0.2


def draws(seed: int) -> tuple[object, object]:
    """The same noise twice: for ltx-pipelines, which draws for picture and sound, and for the farm."""
    generators = [torch.Generator().manual_seed(seed) for _ in range(2)]

    def theirs(like: Tensor, _generator: torch.Generator) -> Tensor:
        if like.shape != SHAPE:
            return torch.zeros_like(like)
        drawn = torch.randn(like.shape, generator=generators[0]).double()
        return (drawn - drawn.mean()) / drawn.std()

    return theirs, lambda: torch.randn(SHAPE, generator=generators[1])


@pytest.mark.parametrize("steps", range(1, len(LEVELS)))
def test_every_step_agrees(steps: int) -> None:
    samplers = pytest.importorskip("ltx_pipelines.utils.samplers")
    from ltx_core.components.diffusion_steps import Res2sDiffusionStep
    from ltx_pipelines.utils.types import LatentState

    sigmas, start = (
        torch.tensor(LEVELS[: steps + 1]),
        torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)),
    )
    theirs, ours = draws(7)

    def state(latent: Tensor) -> object:
        return LatentState(latent, torch.ones_like(latent), torch.zeros(1), torch.zeros_like(latent))

    def denoise_fn(
        video_state: object, audio_state: object, sigmas: Tensor, step_index: int
    ) -> tuple[Tensor, Tensor]:
        return denoise(video_state.latent, sigmas[step_index].float()), audio_state.latent  # type: ignore[attr-defined]

    judged, _ = samplers.res2s_audio_video_denoising_loop(
        sigmas,
        state(start),
        state(torch.zeros(1, 4, 2)),
        Res2sDiffusionStep(),
        denoise_fn,
        new_noise_fn=theirs,
        model_dtype=torch.float32,
    )
    made = res_2s(denoise, start, sigmas, ours)  # type: ignore[arg-type]
    assert float((made - judged.latent).abs().max() / judged.latent.abs().max()) < 1e-5

"""The trainer's own sampler."""

from __future__ import annotations

import pytest
import torch

from actors.models.tiny_words import TinyTokenizer
from tools.train_tiny.modules import (
    new_audio_vae,
    new_temporal_upsampler,
    new_transformer,
    new_upsampler,
    new_vae,
    new_vocoder,
    text_config,
)
from tools.train_tiny.sampler import Models, Pass, Settings
from tools.train_tiny.transformer.flow import Words


@pytest.fixture(scope="module")
def models() -> Models:
    torch.manual_seed(0)
    transformer = new_transformer().eval()
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return Models(
        transformer,
        Words().eval(),
        new_vae(),
        new_audio_vae(),
        new_vocoder(),
        new_upsampler(),
        new_temporal_upsampler(),
        TinyTokenizer.from_config(text_config()),
        torch.device("cpu"),
    )


def _one_step(models: Models, modality: float) -> torch.Tensor:
    """Both streams, flat, after one step from equal noise."""
    models.generator.manual_seed(0)
    settings = Settings(modality=modality, sigmas=(1.0, 0.5))
    with torch.no_grad():
        picture, sound = models.sample(["a red ball moves"], Pass(2, 1, 1), settings)
    return torch.cat([picture.flatten(), sound.flatten()])


def test_modality_guidance_adds_what_the_streams_know_of_each_other(models: Models) -> None:
    plain, twice, thrice = (_one_step(models, modality) for modality in (1.0, 2.0, 3.0))
    assert (twice - plain).norm() > 1e-3 * plain.norm()
    torch.testing.assert_close(thrice - plain, 2 * (twice - plain), atol=1e-4, rtol=1e-3)

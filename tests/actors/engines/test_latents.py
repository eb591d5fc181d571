"""Arithmetic on latents, beside diffusers' own."""

from __future__ import annotations

import pytest
import torch

from actors.engines.latents import lasting, tone_mapped, with_statistics_of


@pytest.fixture(scope="module")
def judge() -> object:
    from diffusers.pipelines.ltx.pipeline_ltx_latent_upsample import LTXLatentUpsamplePipeline

    return LTXLatentUpsamplePipeline.__new__(LTXLatentUpsamplePipeline)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_adain(judge: object, share: float) -> None:
    latents, reference = torch.randn(1, 8, 3, 4, 6) * 2 + 1, torch.randn(1, 8, 3, 2, 3)
    theirs = judge.adain_filter_latent(latents, reference, share)  # type: ignore[attr-defined]
    torch.testing.assert_close(with_statistics_of(reference, latents, share), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("compression", [0.0, 0.6, 1.0])
def test_tone_map(judge: object, compression: float) -> None:
    latents = torch.randn(1, 8, 3, 4, 6) * 3
    theirs = judge.tone_map_latents(latents, compression)  # type: ignore[attr-defined]
    torch.testing.assert_close(tone_mapped(latents, compression), theirs)


@pytest.mark.parametrize(("latents", "seconds", "due"), [(59, 2.375, 61), (18, 17 / 24, 19), (25, 0.97, 25)])
def test_sound_lasts_as_long_as_its_frames(latents: int, seconds: float, due: int) -> None:
    """25 latents are 97 mel frames of a hundredth of a second."""
    sound = torch.randn(1, 2, latents, 3)
    longer = lasting(sound, seconds)
    assert longer.shape == (1, 2, due, 3)
    assert torch.equal(longer[:, :, :latents], sound)
    assert torch.equal(longer[:, :, latents:], sound[:, :, -1:].expand(-1, -1, due - latents, -1))

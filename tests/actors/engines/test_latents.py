"""Arithmetic on latents, beside diffusers' own."""

from __future__ import annotations

import pytest
import torch

from actors.engines.latents import tone_mapped, with_statistics_of


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

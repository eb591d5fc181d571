"""Noise of a clip, and that of a shot, which two clips have in common where they show the same."""

from __future__ import annotations

import torch

from actors.engines.noise import ClipNoise, ShotNoise

CLIP = (1, 4, 5, 2, 3)


def drawn(noise: ShotNoise, like: torch.Tensor, draws: int = 3) -> list[torch.Tensor]:
    """The draws of a run in their order."""
    first, later = noise.sources(like)
    return [first(), *(later() for _ in range(draws - 1))]


def test_a_clips_noise_goes_on_with_the_next_seed() -> None:
    like = torch.zeros(CLIP)
    _, later = ClipNoise(5).sources(like)
    first, _ = ClipNoise(6).sources(like)
    assert torch.equal(later(), first())


def test_clips_of_a_shot_have_the_same_noise_where_they_show_the_same() -> None:
    like = torch.zeros(CLIP)
    left, right = (drawn(ShotNoise(9, first, CLIP), like) for first in (10, 13))
    for one, other in zip(left, right, strict=True):
        assert torch.equal(one[:, :, 3:], other[:, :, :2])
        assert not torch.equal(one[:, :, :2], other[:, :, :2])


def test_every_draw_latent_and_seed_has_noise_of_its_own() -> None:
    like = torch.zeros(CLIP)
    some = [latent for noise in drawn(ShotNoise(9, 0, CLIP), like) for latent in noise.unbind(2)]
    some += drawn(ShotNoise(8, 0, CLIP), like)[0].unbind(2)
    assert len({tuple(latent.flatten().tolist()) for latent in some}) == 4 * 5
    whole = torch.cat([latent.flatten() for latent in some])
    assert abs(float(whole.mean())) < 0.15
    assert abs(float(whole.std()) - 1) < 0.1


def test_guides_behind_a_clip_change_nothing_of_its_noise() -> None:
    plain = drawn(ShotNoise(9, 4, CLIP), torch.zeros(CLIP))[1]
    with_guides = drawn(ShotNoise(9, 4, CLIP), torch.zeros(1, 4, 7, 2, 3))[1]
    assert torch.equal(with_guides[:, :, :5], plain)
    assert with_guides.shape[2] == 7


def test_tokens_have_the_noise_of_their_latents() -> None:
    latents = drawn(ShotNoise(9, 4, CLIP), torch.zeros(CLIP))[2]
    tokens = drawn(ShotNoise(9, 4, CLIP), torch.zeros(1, 5 * 6 + 8, 4))[2]
    assert torch.equal(tokens[:, :30], latents.flatten(2).transpose(1, 2))

"""Noise of a clip, and that of a shot, which two clips have in common where they show the same."""

from __future__ import annotations

import torch

from actors.engines.diffusers.ltx2.noise import noise_of_tokens
from actors.engines.diffusers.ltx2.pieces import Sound
from actors.engines.noise import ClipNoise, Noises, ShotNoise
from actors.engines.pieces import Piece

CLIP, HEARD = (1, 4, 5, 2, 3), (1, 8, 7, 16)
CPU = torch.device("cpu")
SHOT = ShotNoise(9, 4, CLIP)


def drawn(noise: Noises, *shapes: tuple[int, ...], draws: int = 3) -> list[list[torch.Tensor]]:
    """The draws of a run in their order."""
    first, later = noise.sources(shapes, CPU)
    return [first(), *(later() for _ in range(draws - 1))]


def test_a_clips_noise_goes_on_with_the_next_seed() -> None:
    _, later = ClipNoise(5).sources([CLIP], CPU)
    first, _ = ClipNoise(6).sources([CLIP], CPU)
    assert torch.equal(later()[0], first()[0])


def test_sound_goes_on_where_the_pictures_end() -> None:
    """As in ComfyUI, which draws one after the other for the start, and one row of all for the steps."""
    generator = torch.Generator().manual_seed(5)
    picture, sound = (torch.randn(shape, generator=generator) for shape in ((1, 128, 3, 1, 1), HEARD))
    ((ours, heard),) = drawn(ClipNoise(5), (1, 128, 3, 1, 1), HEARD, draws=1)
    assert torch.equal(ours, picture)
    assert torch.equal(heard, sound)


def test_clips_of_a_shot_have_the_same_noise_where_they_show_the_same() -> None:
    left, right = (drawn(ShotNoise(9, first, CLIP), CLIP) for first in (10, 13))
    for (one,), (other,) in zip(left, right, strict=True):
        assert torch.equal(one[:, :, 3:], other[:, :, :2])
        assert not torch.equal(one[:, :, :2], other[:, :, :2])


def test_every_draw_latent_and_seed_has_noise_of_its_own() -> None:
    some = [latent for (noise,) in drawn(ShotNoise(9, 0, CLIP), CLIP) for latent in noise.unbind(2)]
    some += drawn(ShotNoise(8, 0, CLIP), CLIP)[0][0].unbind(2)
    assert len({tuple(latent.flatten().tolist()) for latent in some}) == 4 * 5
    whole = torch.cat([latent.flatten() for latent in some])
    assert abs(float(whole.mean())) < 0.15
    assert abs(float(whole.std()) - 1) < 0.1


def test_guides_and_sound_change_nothing_of_a_clips_noise_in_its_shot() -> None:
    plain = drawn(SHOT, CLIP)[1][0]
    with_guides, sound = drawn(SHOT, (1, 4, 7, 2, 3), HEARD)[1]
    assert torch.equal(with_guides[:, :, :5], plain)
    assert with_guides.shape[2] == 7
    assert sound.shape == HEARD


def test_tokens_have_the_noise_of_their_latents() -> None:
    """Where guides of two latents stand within the clip, and a reference and a guide beside it."""
    clip, picture, small = (1, 128, 5, 2, 3), (1, 128, 8, 2, 3), (1, 128, 2, 1, 2)
    reference, guide = (
        Piece(torch.zeros(small), reference=True),
        Piece(torch.zeros(1, 128, 1, 2, 3), frame=16),
    )
    pieces = [Piece(torch.zeros(clip)), reference, guide]
    sound = Sound(torch.zeros(HEARD), torch.zeros(7))
    for noises in (ClipNoise(3), ShotNoise(9, 4, clip)):
        first, later = noise_of_tokens(noises, pieces, 2, sound, CPU)
        expected = drawn(noises, picture, HEARD, small)
        for tokens, (shown, heard, seen) in zip((first(), later(), later()), expected, strict=True):
            parts = [part.flatten(2).mT for part in (shown[:, :, :5], seen, shown[:, :, 7:])]
            assert torch.equal(tokens, torch.cat([*parts, heard.transpose(1, 2).flatten(2)], dim=1))

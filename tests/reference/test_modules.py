"""Transformer, encoder, decoder and upsampler of every published layout, beside Lightricks' own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fidelity import MODULES, Measured, difference
from published import PUBLISHED

pytestmark = pytest.mark.reference
TABLE = "modules"

Sides = Callable[[str], tuple[Any, Any]]


@pytest.fixture
def note(measured: Measured) -> Callable[[str, str, float], None]:
    """Notes a difference, and holds it against the bar."""

    def held(name: str, part: str, found: float) -> None:
        measured.note(TABLE, name, part, found)
        assert found <= MODULES, f"{name}, {part}: {found:.1e}"

    return held


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_transformer(name: str, sides: Sides, words: Any, note: Any) -> None:
    import torch
    from farm_side import FRAME_RATE, noise
    from ltx_video.models.autoencoders.vae_encode import latent_to_pixel_coords

    from actors.engines.diffusers.ltx_video.tokens import build_sequence, tokens_of

    reference, farm = sides(name)
    x, (text, mask) = noise(3, 4, 4), words[0]
    tokens, grid = reference.pipeline(x).patchifier.patchify(x)
    coords = latent_to_pixel_coords(grid, reference.vae, causal_fix=PUBLISHED[name].causal).float()
    coords[:, 0] /= FRAME_RATE
    model = farm.engine.residents.get("denoising")
    sequence = build_sequence(x, [], FRAME_RATE, model.causal)
    with torch.inference_mode():
        wanted = reference.transformer(
            tokens,
            coords,
            encoder_hidden_states=text,
            timestep=torch.tensor([[0.7]]),
            encoder_attention_mask=mask,
            return_dict=False,
        )[0]
        got = model.transformer(
            hidden_states=tokens_of(x),
            encoder_hidden_states=text,
            timestep=torch.tensor([700.0]),
            encoder_attention_mask=mask.bool(),
            video_coords=sequence.coords,
            return_dict=False,
        )[0]
    assert torch.allclose(sequence.coords, coords, atol=1e-6)
    note(name, "transformer", difference(got, wanted))


@pytest.mark.parametrize(("part", "frames"), [("encode, video", 9), ("encode, image", 1)])
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_encoder(name: str, part: str, frames: int, sides: Sides, note: Any) -> None:
    import torch

    reference, farm = sides(name)
    pixels = np.random.default_rng(2).integers(0, 256, (frames, 64, 96, 3), dtype=np.uint8)
    clip = torch.from_numpy(pixels).permute(3, 0, 1, 2)[None].float() / 255.0 * 2.0 - 1.0
    note(name, part, difference(farm.encode(pixels), reference.encode(clip)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_decoder(name: str, sides: Sides, note: Any) -> None:
    """At equal noise: both the noise in the latents and that of the layers which inject some."""
    import torch
    from farm_side import noise

    reference, farm = sides(name)
    codec, latents = farm.engine.residents.get("codec"), noise(2, 2, 3)
    torch.manual_seed(5)
    with torch.inference_mode():
        got = codec.decoded(codec.prepare(latents))
    wanted = reference.decode(latents, codec.decode_timestep, codec.noise, seed=5)
    note(name, "decode", difference(got, wanted))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_upsampler(name: str, sides: Sides, note: Any) -> None:
    """Between the statistics of the model's VAE, with those of the first pass taken over."""
    import torch
    from farm_side import noise

    from actors.engines.diffusers.codec import upsample

    reference, farm = sides(name)
    latents = noise(3, 4, 4) * 1.5 + 0.2
    residents = farm.engine.residents
    with torch.inference_mode():
        got = upsample(residents.get("codec"), residents.get("upsampler"), latents, 1.0)
    note(name, "upsample, AdaIN", difference(got, reference.upsampled(latents)))

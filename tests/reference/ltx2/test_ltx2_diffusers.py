"""Passes of LTX-2.5 beside diffusers' own pipelines, at equal noise, on modules that the farm fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reference.sides.diffusers_ltx2 import Model, drawn, narrow_model
from tests.reference.sides.pixel_decoder import both

pytestmark = pytest.mark.reference
SAME = 1e-4
FRAMES, SLOTS = 49, (24, 48)
FIRST = (1.0, 0.99375, 0.9875, 0.98125)
SECOND = (0.909375, 0.725, 0.421875)
"""Noise levels without the last, which is 0: diffusers adds it."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return narrow_model(tmp_path_factory.mktemp("ltx2") / "narrow.safetensors")


def close(got: Any, wanted: Any) -> None:
    assert got.shape == wanted.shape
    assert float((got - wanted).abs().max() / wanted.abs().max()) <= SAME


def empty_sound(count: int) -> Any:
    import torch

    from actors.engines.diffusers.ltx2.pieces import Sound

    return Sound(torch.zeros(1, 8, count, 16), torch.zeros(count))


def slot(latents: Any, frame: int) -> Any:
    """A single frame that the transformer makes."""
    from actors.engines.pieces import Piece

    return Piece(latents, frame, 0.0, marked=True)


def test_first_pass_with_slots(model: Model) -> None:
    """DFR's first pass: a clip, and single frames between its latents."""
    import torch
    from diffusers import LTX2DFRPipeline

    from actors.engines.pieces import Piece

    with torch.inference_mode():
        wanted = model.run(LTX2DFRPipeline, FIRST, height=64, width=64, num_frames=FRAMES)
        pieces = [Piece(torch.zeros(1, 128, 7, 2, 2), hold=0.0)]
        pieces += [slot(torch.zeros(1, 128, 1, 2, 2), frame) for frame in SLOTS]
        made, audio = model.denoise(pieces, empty_sound(51), FIRST)
    close(made[0], model.normalised(wanted.frames))
    close(torch.cat(made[1:], dim=2), model.normalised(wanted.keyframes))
    close(audio, model.normalised_sound(wanted.audio))


def test_second_pass_over_picture_slots_and_sound(model: Model) -> None:
    """DFR's second pass: seeded slots, the first pass at half the size as reference, its sound made anew."""
    import torch
    from diffusers import LTX2DFRPipeline

    from actors.engines.diffusers.ltx2.pieces import Sound
    from actors.engines.pieces import Piece

    half, big = drawn(1, 128, 7, 2, 2, seed=2), drawn(1, 128, 7, 4, 4, seed=3)
    stills, heard = drawn(1, 128, 2, 4, 4, seed=4), drawn(1, 8, 51, 16, seed=6)
    with torch.inference_mode():
        raw = [model.raw(latents) for latents in (big, stills, half)]
        wanted = model.run(
            LTX2DFRPipeline, SECOND, height=128, width=128, num_frames=FRAMES, latents=raw[0],
            keyframes_latents=raw[1], keyframe_positions=list(SLOTS), reference_latents=raw[2],
            audio_latents=model.raw_sound(heard),
        )  # fmt: skip
        pieces = [Piece(big, hold=0.0)]
        pieces += [slot(stills[:, :, i : i + 1], frame) for i, frame in enumerate(SLOTS)]
        pieces.append(Piece(half, scale=2, reference=True))
        made, audio = model.denoise(pieces, Sound(heard, torch.zeros(51)), SECOND)
    close(made[0], model.normalised(wanted.frames))
    close(torch.cat(made[1:3], dim=2), model.normalised(wanted.keyframes))
    close(audio, model.normalised_sound(wanted.audio))
    assert torch.equal(made[3], half)


SCALES = ("guidance_scale", "modality_scale", "audio_guidance_scale", "audio_modality_scale")
WEIGHTS = ("stg_scale", "audio_stg_scale", "guidance_rescale", "audio_guidance_rescale")
PLAIN: dict[str, Any] = {
    **dict.fromkeys(SCALES, 1.0), **dict.fromkeys(WEIGHTS, 0.0),
    "spatio_temporal_guidance_blocks": None, "use_cross_timestep": True, "return_dict": False,
}  # fmt: skip


@pytest.fixture
def conditioned(model: Model, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `LTX2ConditionPipeline` makes under a still at frame 0 and one at frame 9, at a size.

    It does not mark the first frame; the farm does, as DFR and ltx-core do. And it takes the whole level
    where it computes what a held token shows; the farm and ltx-core take the token's own.
    """
    import torch
    from diffusers import LTX2ConditionPipeline
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    monkeypatch.setattr(type(model.transformer), "marks", False)

    def run(size: int, sigmas: tuple[float, ...], strength: float = 1.0, **more: Any) -> Any:
        conditions = [LTX2VideoCondition(still(size), index, strength, crf=0) for index in (0, 2)]
        with torch.inference_mode():
            return model.run(
                LTX2ConditionPipeline, sigmas, conditions=conditions, height=size, width=size, num_frames=17,
                negative_prompt_embeds=model.states, negative_prompt_attention_mask=model.mask,
                **PLAIN, **more,
            )  # fmt: skip

    return run


def still(size: int) -> Any:
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))


def encoded(model: Model, size: int) -> Any:
    """The still as latents."""
    import numpy as np

    from actors.engines.diffusers.codec import VideoCodec

    return VideoCodec(model.parts["vae"]).encode(np.array(still(size))[None])


def pieces_of(model: Model, size: int, start: Any, strength: float = 1.0) -> list[Any]:
    """The same as pieces."""
    from actors.engines.diffusers.ltx2.pieces import with_guides
    from actors.engines.pieces import Piece

    image = encoded(model, size)
    return with_guides(start, [Piece(image, 0, strength), Piece(image, 9, strength)])


def test_images_at_the_start_and_later(model: Model, conditioned: Any) -> None:
    import torch

    wanted = conditioned(64, FIRST)
    with torch.inference_mode():
        pieces = pieces_of(model, 64, torch.zeros(1, 128, 3, 2, 2))
        made, audio = model.denoise(pieces, empty_sound(18), FIRST)
    close(made[0], model.normalised(wanted[0]))
    close(audio, model.normalised_sound(wanted[1]))


def test_second_pass_with_the_images_and_the_sound(model: Model, conditioned: Any) -> None:
    """Two stages: the first pass upsampled, its sound, and the images at twice the size."""
    import torch

    from actors.engines.diffusers.ltx2.pieces import Sound

    big, heard = drawn(1, 128, 3, 4, 4, seed=7), drawn(1, 8, 18, 16, seed=8)
    with torch.inference_mode():
        raw = {"latents": model.raw(big), "audio_latents": model.raw_sound(heard)}
        wanted = conditioned(128, SECOND, **raw)
        pieces = pieces_of(model, 128, big)
        made, audio = model.denoise(pieces, Sound(heard, torch.zeros(18)), SECOND)
    close(made[0], model.normalised(wanted[0]))
    close(audio, model.normalised_sound(wanted[1]))


def test_images_that_hold_in_part(model: Model, conditioned: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal once diffusers takes a token's own noise level, as ltx-core does."""
    import torch
    from diffusers import LTX2ConditionPipeline

    def own_level(self: Any, sample: Any, velocity: Any, step: int, scheduler: Any = None) -> Any:
        sigma = (scheduler or self.scheduler).sigmas[step]
        if sample.shape[1] != 18:
            hold = torch.zeros(1, sample.shape[1], 1)
            hold[:, :4], hold[:, 12:] = 0.9, 0.9
            sigma = sigma * (1 - hold)
        return sample - velocity * sigma

    with torch.inference_mode():
        made, _ = model.denoise(
            pieces_of(model, 64, torch.zeros(1, 128, 3, 2, 2), 0.9), empty_sound(18), FIRST
        )
    monkeypatch.setattr(LTX2ConditionPipeline, "convert_velocity_to_x0", own_level)
    close(made[0], model.normalised(conditioned(64, FIRST, 0.9)[0]))


def noise_of_a_held_sound(_noises: Any, pieces: list[Any], _within: int, sound: Any, _device: Any) -> Any:
    """What DFR's pipeline draws for the start, and then for each step: none of a sound that it holds."""
    import torch

    generator = torch.Generator().manual_seed(1)
    picture, heard = sum(piece.latents[0, 0].numel() for piece in pieces), sound.latents.shape[2]

    def of(count: int) -> Any:
        drawn = torch.randn(1, picture, 128, generator=generator)
        more = torch.randn(1, count, 128, generator=generator) if count else torch.zeros(1, heard, 128)
        return torch.cat([drawn, more], dim=1)

    return lambda: of(heard), lambda: of(0)


def test_stills_that_hold_in_part_under_fresh_noise(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """DFR's first pass with the sampler of LTX-2.5's recipes, over a sound that is given."""
    import torch
    from diffusers import LTX2DFRPipeline, LTXEulerAncestralRFScheduler
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    from actors.engines.diffusers.ltx2 import denoise
    from actors.engines.diffusers.ltx2.pieces import Sound
    from actors.engines.diffusers.samplers import euler_ancestral

    heard, strength = drawn(1, 8, 51, 16, seed=6), 0.8
    conditions = [LTX2VideoCondition(still(64), index, strength, crf=0) for index in (0, 2)]
    with torch.inference_mode():
        wanted = model.run(
            LTX2DFRPipeline, FIRST, parts={"scheduler": LTXEulerAncestralRFScheduler(eta=1.0)},
            height=64, width=64, num_frames=FRAMES, conditions=conditions,
            audio_latents=model.raw_sound(heard), freeze_audio=True,
        )  # fmt: skip
        monkeypatch.setattr(denoise, "noise_of_tokens", noise_of_a_held_sound)
        pieces = pieces_of(model, 64, torch.zeros(1, 128, 7, 2, 2), strength)
        pieces += [slot(torch.zeros(1, 128, 1, 2, 2), frame) for frame in SLOTS]
        made, _ = model.denoise(pieces, Sound(heard, torch.ones(51)), FIRST, euler_ancestral)
    close(made[0], model.normalised(wanted.frames))
    close(torch.cat(made[-2:], dim=2), model.normalised(wanted.keyframes))


def test_a_reference_at_half_the_size(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LTX2InContextPipeline` marks no first frame either."""
    import torch
    from diffusers import LTX2InContextPipeline
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    from actors.engines.diffusers.ltx2.pieces import with_guides
    from actors.engines.pieces import Piece

    monkeypatch.setattr(type(model.transformer), "marks", False)
    with torch.inference_mode():
        wanted = model.run(
            LTX2InContextPipeline, FIRST, height=64, width=64, num_frames=17, **PLAIN,
            reference_conditions=LTX2ReferenceCondition(still(32)), reference_downscale_factor=2,
        )  # fmt: skip
        sheet = Piece(encoded(model, 32), 0, scale=2, reference=True)
        pieces = with_guides(torch.zeros(1, 128, 3, 2, 2), [sheet])
        made, audio = model.denoise(pieces, empty_sound(18), FIRST)
    close(made[0], model.normalised(wanted[0]))
    close(audio, model.normalised_sound(wanted[1]))


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("steps", [1, 2])
def test_pixels_of_the_diffusion_decoder(steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window whose first latent is number 5. Published is one step; diffusers makes more, too."""
    import torch
    from diffusers.models.autoencoders import ltx2_diffusion_decoder

    from actors.engines.latents import DecodeSettings
    from actors.engines.noise import frame_noise

    def noise(shape: tuple[int, ...], dtype: Any, device: Any, **_: Any) -> Any:
        return frame_noise(shape, 8 * 5, dtype, device)

    monkeypatch.setattr(ltx2_diffusion_decoder, "randn_tensor", noise)
    pipeline, codec = both(tmp_path / "vae.safetensors", steps)
    latents = drawn(1, 128, 2, 3, 3, seed=3)
    with torch.inference_mode():
        wanted = pipeline(latents, return_dict=False)[0]
        got = codec.decoded(codec.prepare(latents), DecodeSettings(first=5))
    assert got.shape == (1, 3, 9, 96, 96)
    close(got, wanted)

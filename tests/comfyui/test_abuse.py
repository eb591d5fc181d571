"""What users connect by mistake: right, or refused by a message that names input, value and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_kit import EXTEND, GENERATE, HEIGHT, WIDTH

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]
NAN = float("nan")


def tensor(*shape: int, fill: float = 0.0) -> Any:
    import torch

    return torch.full(shape, fill)


def picture(channels: int = 3, count: int = 1, fill: float = 0.5) -> Any:
    return tensor(count, 100, 150, channels, fill=fill)


REFUSED_GENERATE: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "frames 16": (lambda: {"num_frames": 16}, r"num_frames is 16: use 8k \+ 1"),
    "one frame": (lambda: {"num_frames": 1}, "num_frames is 1"),
    "width 100": (lambda: {"width": 100}, "width is 100: use a multiple of 32"),
    "seed of all bits": (lambda: {"seed": 2**64 - 1}, "seed is 18446744073709551615: .* use at most 184"),
    "rate 0": (lambda: {"frame_rate": 0.0}, "frame_rate is 0.0"),
    "no positive": (lambda: {"positive": []}, "positive is empty: connect"),
    "grey image": (lambda: {"first_image": picture(1)}, r"first_image has shape \(1, 100, 150, 1\)"),
    "empty batch": (lambda: {"last_image": picture(count=0)}, r"last_image has shape \(0, 100"),
    "image of NaN": (lambda: {"middle_image": picture(fill=NAN)}, "middle_image has values that are no num"),
    "middle of 9 frames": (lambda: {"num_frames": 9, "middle_image": picture()}, "fewer than 17 frames has"),
    "one sigma": (lambda: {"sigmas": tensor(1, fill=1.0)}, "at least two noise levels"),
    "no sigma": (lambda: {"sigmas": tensor(0)}, "at least two noise levels"),
    "sigmas of zero": (lambda: {"sigmas": tensor(2)}, "at least two noise levels"),
    "sigmas of NaN": (lambda: {"sigmas": tensor(3, fill=NAN)}, "at least two noise levels"),
    "upscale alone": (lambda: {"upscale": True}, "upscale is on without upscale_model"),
}
REFUSED_LATENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "of another model": (
        lambda: tensor(1, 16, 5, 12, 16),
        r"latent has shape \(1, 16, 5, 12, 16\): connect one",
    ),
    "of an image": (lambda: tensor(1, 4, 64, 64), r"latent has shape \(1, 4, 64, 64\)"),
    "batch of two": (lambda: tensor(2, 128, 3, 3, 4), r"latent has shape \(2, 128"),
    "without frames": (lambda: tensor(1, 128, 0, 3, 4), r"latent has shape \(1, 128, 0"),
    "of NaN": (lambda: tensor(1, 128, 3, 3, 4, fill=NAN), "latent has values that are no numbers"),
    "too short": (lambda: tensor(1, 128, 1, 3, 4), "overlap_frames 16 needs 2 latents and the latent has 1"),
}


@pytest.mark.parametrize("case", REFUSED_GENERATE)
def test_refused_by_generate(generate: Run, needs: Any, case: str, model_calls: list[Any]) -> None:
    from jobs.errors import InvalidInput

    if case == "upscale alone":
        needs("upscale")
    inputs, message = REFUSED_GENERATE[case]
    with pytest.raises(InvalidInput, match=message):
        generate(**inputs())
    assert model_calls == []


@pytest.mark.parametrize("case", REFUSED_LATENTS)
def test_latents_refused_by_extend(extend: Run, case: str, model_calls: list[Any]) -> None:
    from jobs.errors import InvalidInput

    samples, message = REFUSED_LATENTS[case]
    with pytest.raises(InvalidInput, match=message):
        extend({"samples": samples()})
    assert model_calls == []


@pytest.mark.parametrize("frames", [4, 20])
def test_frames_off_the_grid_are_refused_by_extend(extend: Run, frames: int) -> None:
    from jobs.errors import InvalidInput

    for name in ("num_new_frames", "overlap_frames"):
        with pytest.raises(InvalidInput, match=f"{name} is {frames}: use a multiple of 8"):
            extend({"samples": tensor(1, 128, 5, 3, 4)}, **{name: frames})


@pytest.mark.parametrize(
    "config", [{"temporal_upsample": True, "spatial_upsample": False}, {"spatial_scale": 1.5}]
)
def test_upscalers_that_are_not_the_spatial_x2(generate: Run, needs: Any, config: dict[str, Any]) -> None:
    from types import SimpleNamespace

    from jobs.errors import InvalidInput

    needs("upscale")
    network = SimpleNamespace(**{"rational_resampler": "spatial_scale" in config, **config})
    for model in (network, SimpleNamespace(model=network)):
        with pytest.raises(InvalidInput, match=r"upscale_model .*: connect the spatial x2 upsampler"):
            generate(upscale=True, upscale_model=model)


def test_conditioning_with_guides_of_another_latent_is_refused(
    core: Any, ltxv: Any, generate: Run, model_calls: list[Any]
) -> None:
    from jobs.errors import InvalidInput

    latent = core.call("EmptyLTXVLatentVideo", width=WIDTH, height=HEIGHT, length=17, batch_size=1)[0]
    guided = core.call(
        "LTXVAddGuide", positive=ltxv.positive, negative=ltxv.negative, vae=ltxv.vae, latent=latent,
        image=picture(), frame_idx=8, strength=1.0,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"positive carries guides of another node \(keyframe_idxs\)"):
        generate(positive=guided[0], negative=guided[1])
    assert model_calls == []


@pytest.mark.parametrize(
    "inputs",
    [
        {"seed": 2**64 - 2},
        {"width": 32, "height": 32},
        {"frame_rate": 23.976},
        {"steps": 1},
        {"cfg": 1.0},
        {"ffn_chunks": 16},
    ],
    ids=str,
)
def test_odd_values_that_are_right(generate: Run, inputs: dict[str, Any]) -> None:
    import torch

    assert torch.isfinite(generate(**inputs)[0]["samples"]).all()


def test_alpha_and_further_images_of_a_batch_change_nothing(generate: Run) -> None:
    import torch

    plain = generate(first_image=picture())[0]["samples"]
    for image in (torch.cat([picture(), tensor(1, 100, 150, 1)], -1), picture(count=3)):
        assert torch.equal(generate(first_image=image)[0]["samples"], plain)


def test_half_precision_latents_stay_as_they_are(extend: Run) -> None:
    import torch

    chain = torch.randn(1, 128, 4, 3, 4, generator=torch.Generator().manual_seed(1)).half()
    longer = extend({"samples": chain})[0]["samples"]
    assert longer.dtype == torch.float16
    assert torch.equal(longer[:, :, :2], chain[:, :, :2])


def test_a_noise_mask_of_the_latent_is_kept_and_grows(extend: Run) -> None:
    import torch

    mask = torch.zeros(1, 1, 3, 1, 1)
    longer = extend({"samples": tensor(1, 128, 3, 3, 4), "noise_mask": mask})[0]
    assert longer["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 0, 0, 1, 1]


def test_a_users_own_feed_forward_patch_is_called_for_each_piece(ltxv: Any, generate: Run) -> None:
    model, calls = ltxv.model.clone(), []
    for index, block in enumerate(model.model.diffusion_model.transformer_blocks):

        def own(x: Any, net: Any = block.ff.net) -> Any:
            calls.append(x.shape[1])
            return net(x)

        model.add_object_patch(f"diffusion_model.transformer_blocks.{index}.ff.forward", own)
    generate(model=model)
    whole = len(calls)
    generate(model=model, ffn_chunks=4)
    assert whole > 0
    assert len(calls) == whole + 4 * whole


@pytest.fixture
def av(needs: Any, request: pytest.FixtureRequest) -> tuple[Any, Any]:
    needs("audio")
    needs("ltx-2")
    return request.getfixturevalue("ltxav")


def by(name: str, kit: Any, **inputs: Any) -> Any:
    from farm.nodes import NODE_CLASS_MAPPINGS

    shared = GENERATE if name == "generate" else EXTEND
    return getattr(NODE_CLASS_MAPPINGS[f"RSLTXV{name.capitalize()}"](), name)(
        **{**kit.inputs, **shared, **inputs}
    )


def sound(fill: float = 0.1, samples: int = 44100, channels: int = 2) -> dict[str, Any]:
    return {"waveform": tensor(1, channels, samples, fill=fill), "sample_rate": 44100}


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (lambda: sound(NAN), "audio has values that are no numbers"),
        (lambda: sound(samples=0), r"audio has shape \(1, 2, 0\): connect an AUDIO with at least one"),
    ],
    ids=["NaN", "empty"],
)
def test_sound_that_is_none(av: tuple[Any, Any], audio: Callable[[], Any], message: str) -> None:
    from jobs.errors import InvalidInput

    with pytest.raises(InvalidInput, match=message):
        by("generate", av[0], audio=audio(), audio_vae=av[1])


def test_audio_vaes_that_are_missing_or_none(av: tuple[Any, Any]) -> None:
    from jobs.errors import InvalidInput

    kit, _ = av
    with pytest.raises(InvalidInput, match="audio is connected without audio_vae: connect"):
        by("generate", kit, audio=sound())
    with pytest.raises(InvalidInput, match="audio_vae is no audio VAE: load it with LTXV Audio VAE Loader"):
        by("generate", kit, audio=sound(), audio_vae=kit.vae)


def test_extend_goes_on_with_the_sound_of_its_latent(core: Any, av: tuple[Any, Any]) -> None:
    import torch

    from farm.nodes.latents import parts_of

    kit, audio_vae = av
    latent, _, made = by("generate", kit, audio_vae=audio_vae)
    assert torch.isfinite(made["samples"]).all()
    assert made["samples"].std() > 0
    both = core.call("LTXVConcatAVLatent", video_latent=latent, audio_latent=made)[0]
    longer, _, whole = by("extend", kit, audio_vae=audio_vae, latent=both)
    video, carried = parts_of(longer["samples"])
    assert video.shape[2] == latent["samples"].shape[2] + 2
    assert torch.equal(carried, whole["samples"])
    before = made["samples"].shape[2]
    assert carried.shape[2] > before
    assert torch.allclose(carried[:, :, :before], made["samples"], atol=1e-5), "what was there stays"


def test_sound_of_a_latent_is_not_dropped(core: Any, av: tuple[Any, Any]) -> None:
    from jobs.errors import InvalidInput

    kit, audio_vae = av
    latent, _, made = by("generate", kit, audio_vae=audio_vae)
    both = core.call("LTXVConcatAVLatent", video_latent=latent, audio_latent=made)[0]
    with pytest.raises(InvalidInput, match="latent carries sound and audio_vae is not connected"):
        by("extend", kit, latent=both)
    with pytest.raises(InvalidInput, match="latent carries sound and audio is connected"):
        by("extend", kit, latent=both, audio=sound(), audio_vae=audio_vae)


def test_without_sound_the_third_output_blocks_and_says_why(generate: Run) -> None:
    from comfy_execution.graph_utils import ExecutionBlocker

    blocked = generate()[2]
    assert isinstance(blocked, ExecutionBlocker)
    assert "no sound was made: connect" in blocked.message

"""The bundled trained model in ComfyUI: it loads, follows prompts, and continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]
SIDE, FRAMES, STEPS = 128, 97, 16
PROMPT = "a red ball moves right over a teal background"


@pytest.fixture(scope="module")
def generated(tiny: Any) -> Any:
    """(LATENT, IMAGE) of the prompt."""
    return node("RSLTXVGenerate", tiny, "generate", num_frames=FRAMES, width=SIDE, height=SIDE, decode=True)


def node(name: str, tiny: Any, method: str, prompt: str = PROMPT, **inputs: Any) -> Any:
    from actors.engines.comfyui.loading.tiny import tiny_conditioning
    from farm.nodes import NODE_CLASS_MAPPINGS

    shared = {
        "model": tiny[0],
        "vae": tiny[1],
        "audio_vae": tiny[2],
        "positive": tiny_conditioning(prompt),
        "negative": tiny_conditioning(""),
        "steps": STEPS,
        "cfg": 3.0,
        "seed": 3,
        "frame_rate": 25.0,
    }
    return getattr(NODE_CLASS_MAPPINGS[name](), method)(**{**shared, **inputs})


def test_the_prompt_is_followed(generated: Any) -> None:
    from benchmarks.tiny.detector import read

    seen = read(generated[1].permute(0, 3, 1, 2))
    assert (seen.colour, seen.shape, seen.background) == ("red", "ball", "teal")


def test_a_first_image_opens_the_clip(tiny: Any, generated: Any) -> None:
    from benchmarks.tiny.scores import psnr

    image = generated[1][40:41]
    _, images, _ = node(
        "RSLTXVGenerate", tiny, "generate", num_frames=49, width=SIDE, height=SIDE, decode=True,
        first_image=image, image_strength=1.0, seed=4,
    )  # fmt: skip
    assert psnr(images[0], image[0]) >= 26.0


def test_the_upscaler_that_is_installed_is_the_models_own(core: Any, tiny: Any, folder: Path) -> None:
    import torch

    from actors.engines.comfyui.loading.by_node import load_own_upsampler
    from actors.engines.comfyui.upscale import upsample
    from actors.models import TINY_CHECKPOINT
    from farm.nodes.install import TINY_UPSCALER_NAME, tiny_upsampler

    (folder / TINY_UPSCALER_NAME).write_bytes(tiny_upsampler())
    by_core = core.call("LatentUpscaleModelLoader", model_name=TINY_UPSCALER_NAME)[0]
    clip = torch.randn(1, 128, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = upsample(core, load_own_upsampler(core, TINY_CHECKPOINT), tiny[1], clip)
        theirs = upsample(core, by_core, tiny[1], clip)
    assert ours.shape == (1, 128, 3, 8, 8)
    assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("tiny")
def test_text_adherence_is_that_of_the_diffusers_engine() -> None:
    from benchmarks.tiny.engines import adherence, held_out, open_engine

    theirs = adherence(open_engine("diffusers", 1), held_out())
    ours = adherence(open_engine("comfyui", 1), held_out())
    print("diffusers", theirs, "comfyui", ours)
    for name, share in theirs.items():
        assert ours[name] >= share - 0.03, name


@pytest.fixture(scope="module")
def nine_extends(tiny: Any, generated: Any) -> tuple[Any, list[int]]:
    """The latent of one Generate and nine Extends, and the frames where the ten cross-fades begin."""
    from jobs.frames import frames_of

    chain, seams = generated[0], []
    for seed in range(100, 110):
        # The one blended latent is the chain's last.
        seams.append(frames_of(chain["samples"].shape[2] - 1))
        if seed < 109:
            chain, *_ = extended(tiny, chain, seed)
    return chain, seams


def extended(tiny: Any, latent: Any, seed: int, **inputs: Any) -> Any:
    settings: dict[str, Any] = {"num_new_frames": 80, "overlap_frames": 16, "overlap_strength": 1.0}
    said: dict[str, Any] = {"prompt": "the red ball keeps bouncing", "seed": seed}
    return node("RSLTXVExtend", tiny, "extend", latent=latent, **settings, **said, **inputs)


def moves(film: Any, seams: list[int]) -> Any:
    """How the film of ten Extends moves."""
    from benchmarks.tiny.scores import motion

    assert len(film) == FRAMES + 800
    return motion(film.permute(0, 3, 1, 2), seams, fade=8)


@pytest.fixture(scope="module")
def long_take(tiny: Any, nine_extends: tuple[Any, list[int]]) -> Any:
    chain, seams = nine_extends
    return moves(extended(tiny, chain, 109, decode=True)[1], seams)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_have_no_visible_seam(long_take: Any) -> None:
    print(long_take, long_take.ratio)
    assert long_take.last_colour == "red"
    assert long_take.ratio <= 1.25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_have_no_visible_seam_when_refined(
    core: Any, tiny: Any, nine_extends: tuple[Any, list[int]]
) -> None:
    """The last Extend upscales: the whole film is refined at twice the size."""
    from actors.engines.comfyui.loading.by_node import load_own_upsampler
    from actors.models import TINY_CHECKPOINT

    chain, seams = nine_extends
    upscaler = load_own_upsampler(core, TINY_CHECKPOINT)
    _, film, _ = extended(tiny, chain, 109, upscale=True, upscale_model=upscaler, decode=True)
    assert film.shape[1:3] == (2 * SIDE, 2 * SIDE)
    refined = moves(film, seams)
    print(refined, refined.ratio)
    assert refined.last_colour == "red"
    assert refined.ratio <= 1.25


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_extends_keep_their_speed(long_take: Any) -> None:
    assert abs(long_take.last_speed / long_take.first_speed - 1) <= 0.2

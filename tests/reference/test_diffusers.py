"""The farm's steps beside diffusers' own pipelines, on modules that the farm's loader filled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fidelity import STEPS, Measured, difference
from test_steps import DISTILLED, Sides

pytestmark = pytest.mark.reference
TABLE = "diffusers"


@pytest.fixture
def note(measured: Measured) -> Callable[..., None]:
    def held(name: str, scenario: str, got: list[Any], wanted: list[Any]) -> None:
        found = [difference(one, other) for one, other in zip(got, wanted, strict=True)]
        measured.note(TABLE, name, scenario, *found)
        assert max(found) <= STEPS, f"{name}, {scenario}: {[f'{step:.1e}' for step in found]}"

    return held


def pipeline_of(kind: Any, farm: Any, file: Any) -> Any:
    """A pipeline of diffusers with the file's transformer and the farm's VAE."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import load_transformer

    shifted = kind.__name__ == "LTXPipeline"
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=shifted,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=0.1 if shifted else None,
    )
    pipeline = kind(
        scheduler=scheduler,
        vae=farm.engine.residents.get("codec").vae,
        text_encoder=None,
        tokenizer=None,
        transformer=load_transformer(Checkpoint.open(file), torch.float32),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def run(kind: Any, farm: Any, file: Any, words: Any, **settings: Any) -> list[Any]:
    """The tokens `[1, N, C]` after every step of a diffusers pipeline."""
    pipeline = pipeline_of(kind, farm, file)
    seen: list[Any] = []

    def keep(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].clone())
        return {}

    (positive, mask), (negative, negative_mask) = words
    pipeline(
        prompt_embeds=positive,
        prompt_attention_mask=mask,
        negative_prompt_embeds=negative,
        negative_prompt_attention_mask=negative_mask,
        height=128,
        width=128,
        num_frames=17,
        frame_rate=24,
        output_type="latent",
        callback_on_step_end=keep,
        return_dict=False,
        **settings,
    )
    return seen


def tokens_of_steps(steps: list[Any]) -> list[Any]:
    from actors.engines.diffusers.ltx_video.tokens import tokens_of

    return [tokens_of(step) for step in steps]


@pytest.mark.parametrize("name", ["2b-0.9.0", "2b-0.9.1"])
def test_text_to_video(name: str, sides: Sides, file_of: Any, words: Any, note: Any) -> None:
    """LTXPipeline, with its own schedule."""
    from diffusers import LTXPipeline
    from farm_side import noise

    from actors.engines.diffusers.ltx_video.tokens import tokens_of

    _, farm = sides(name)
    start = tokens_of(noise(3, 4, 4)).clone()
    wanted = run(
        LTXPipeline, farm, file_of(name), words, num_inference_steps=6, guidance_scale=3.0, latents=start
    )
    note(name, "text to video", tokens_of_steps(farm.sample()[1:]), wanted)


@pytest.mark.parametrize("name", ["2b-0.9.5", "13b-0.9.7-dev"])
def test_distilled_list(name: str, sides: Sides, file_of: Any, words: Any, note: Any) -> None:
    """LTXConditionPipeline, whose noise comes from the same generator."""
    import torch
    from diffusers import LTXConditionPipeline
    from farm_side import SEED

    _, farm = sides(name)
    generator = torch.Generator().manual_seed(SEED)
    timesteps = [1000 * sigma for sigma in DISTILLED[:-1]]
    wanted = run(
        LTXConditionPipeline, farm, file_of(name), words,
        timesteps=timesteps, guidance_scale=1.0, generator=generator,
    )  # fmt: skip
    note(name, "distilled list", tokens_of_steps(farm.sample(sigmas=DISTILLED, cfg=1.0)[1:]), wanted)


@pytest.mark.parametrize("name", ["2b-0.9.5", "13b-0.9.7-dev"])
def test_image_at_frame_8(
    name: str, sides: Sides, file_of: Any, words: Any, note: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline draws from the encoder's posterior; its mode is taken here, as everywhere in the farm."""
    import torch
    from diffusers import LTXConditionPipeline
    from diffusers.pipelines.ltx import pipeline_ltx_condition
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
    from farm_side import noise
    from PIL import Image

    mode = lambda output, *_, **__: output.latent_dist.mode()  # noqa: E731
    start = noise(4, 4, 4)[:, :, :3]
    monkeypatch.setattr(pipeline_ltx_condition, "retrieve_latents", mode)
    monkeypatch.setattr(
        pipeline_ltx_condition,
        "randn_tensor",
        lambda shape, **_: start if shape[2] == 3 else torch.zeros(shape),
    )
    _, farm = sides(name)
    picture = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    condition = LTXVideoCondition(image=Image.fromarray(picture[0]), frame_index=8, strength=1.0)
    timesteps = [1000 * sigma for sigma in DISTILLED[:-1]]
    wanted = run(
        LTXConditionPipeline, farm, file_of(name), words, conditions=[condition], image_cond_noise_scale=0.0,
        timesteps=timesteps, guidance_scale=1.0,
    )  # fmt: skip
    image = farm.encode(picture)
    got = tokens_of_steps(farm.sample([(image, 8)], sigmas=DISTILLED, cfg=1.0)[1:])
    note(name, "image at frame 8", got, [tokens[:, image[0, 0].numel() :] for tokens in wanted])

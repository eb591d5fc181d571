"""Recipes of LTX-Video beside Lightricks' own pipeline with the published settings.

Settings of the reference are those of Lightricks/LTX-Video `configs/*.yaml`; blocks are counted round a model
of three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fidelity import MODULES, STEPS, Measured, difference

if TYPE_CHECKING:
    from test_steps import Sides

pytestmark = pytest.mark.reference
TABLE = "recipes"
LAYERS = 3


@pytest.fixture
def note(measured: Measured) -> Callable[..., None]:
    def held(name: str, part: str, got: list[Any], wanted: list[Any]) -> None:
        found = [difference(one, other) for one, other in zip(got, wanted, strict=True)]
        measured.note(TABLE, name, part, *found)
        assert max(found) <= STEPS, f"{name}, {part}: {[f'{step:.1e}' for step in found]}"

    return held


def sampling_of(recipe: str, section: str) -> dict[str, Any]:
    """What the recipe fills in, as the plan has it, with its blocks counted round the small model."""
    from jobs.loading.load import load_spec
    from jobs.planning.plan import make_plan
    from jobs.planning.sampling import PlannedGuider

    spec = {
        "name": "x",
        "recipe": recipe,
        "engine": {"checkpoint": "x.safetensors", "text_encoder": "t/t", "upscale_model": "u.safetensors"},
        "videos": [{"name": "v", "chunks": [{"generate": {"prompt": "p"}}]}],
        **({"upscale": {}} if section == "upscale" else {}),
    }
    plan = make_plan(load_spec(spec, check_files=False).spec)
    planned = (
        plan.upscale.sampling if section == "upscale" and plan.upscale else plan.videos[0].chunks[0].sampling
    )
    params = dict(planned.guider.params)
    if "blocks" in params:
        params["blocks"] = _small(params["blocks"])
    guider = PlannedGuider(planned.guider.name, tuple(sorted(params.items())))
    fields = ("steps", "cfg", "sampler", "sigmas", "max_shift", "base_shift", "denoise")
    return {**{field: getattr(planned, field) for field in fields}, "guider": guider}


def _small(blocks: Any) -> Any:
    return tuple(_small(block) if isinstance(block, list | tuple) else block % LAYERS for block in blocks)


def published(**settings: Any) -> dict[str, Any]:
    from farm_side import FRAME_RATE

    return {"frame_rate": FRAME_RATE, **settings}


def linear_quadratic(skip_first: int = 0, skip_last: int = 0) -> dict[str, Any]:
    return {
        "num_inference_steps": 30,
        "skip_initial_inference_steps": skip_first,
        "skip_final_inference_steps": skip_last,
    }


def test_13b_dev(sides: Sides, words: Any, note: Any) -> None:
    """Guidance from level to level in the first pass, STG in the second."""
    from farm_side import noise

    reference, farm = sides("13b-0.9.8-dev")
    name = "ltxv-13b-0.9.8-dev"
    first = published(
        **linear_quadratic(skip_last=3),
        guidance_scale=[1, 1, 6, 8, 6, 1, 1],
        stg_scale=[0, 0, 4, 4, 4, 2, 1],
        rescaling_scale=[1, 1, 0.5, 0.5, 1, 1, 1],
        guidance_timesteps=[1.0, 0.996, 0.9933, 0.9850, 0.9767, 0.9008, 0.6180],
        skip_block_list=[[], [2, 1, 2, 0], [1, 2, 0], [1], [1], [1], [1]],
        cfg_star_rescale=True,
    )
    wanted = reference.run(noise(3, 4, 4), *words, **first)
    got = farm.sample(**sampling_of(name, "defaults"))
    note(name, "first pass", got[1:], wanted)
    second = published(
        **linear_quadratic(skip_first=17), guidance_scale=[1], stg_scale=[1], rescaling_scale=[1],
        guidance_timesteps=[1.0], skip_block_list=[0], cfg_star_rescale=True,
    )  # fmt: skip
    larger = reference.upsampled(wanted[-1])
    wanted = reference.run(noise(3, 8, 8), *words, latents=larger, **second)
    got = farm.upscale(got[-1], adain=1.0, **sampling_of(name, "upscale"))
    note(name, "second pass", got[1:], wanted)


@pytest.mark.parametrize("name", ["ltxv-13b-0.9.8-distilled", "ltxv-2b-0.9.8-distilled"])
def test_distilled(name: str, sides: Sides, words: Any, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(name.replace("ltxv-", ""))
    plain = {"guidance_scale": 1, "stg_scale": 0, "rescaling_scale": 1}
    first = published(timesteps=[1.0, 0.9937, 0.9875, 0.9812, 0.9750, 0.9094, 0.7250], **plain)
    wanted = reference.run(noise(3, 4, 4), *words, **first)
    got = farm.sample(**sampling_of(name, "defaults"))
    note(name, "first pass", got[1:], wanted)
    larger = reference.upsampled(wanted[-1])
    second = published(timesteps=[0.9094, 0.7250, 0.4219], **plain)
    wanted = reference.run(noise(3, 8, 8), *words, latents=larger, **second)
    got = farm.upscale(got[-1], adain=1.0, **sampling_of(name, "upscale"))
    note(name, "second pass", got[1:], wanted)


@pytest.mark.parametrize(
    ("name", "model"), [("ltxv-2b-0.9.1", "2b-0.9.1"), ("ltxv-2b-0.9.6-dev", "2b-0.9.6-dev")]
)
def test_2b_dev(name: str, model: str, sides: Sides, words: Any, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(model)
    settings = published(
        num_inference_steps=40,
        guidance_scale=3,
        stg_scale=1,
        rescaling_scale=0.7,
        skip_block_list=[19 % LAYERS],
    )
    wanted = reference.run(noise(3, 4, 4), *words, **settings)
    note(name, "first pass", farm.sample(**sampling_of(name, "defaults"))[1:], wanted)


def test_2b_distilled_with_fresh_noise(
    sides: Sides, words: Any, note: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler `lcm` is Lightricks' stochastic sampling, at the noise that the farm draws."""
    import torch
    from farm_side import CHANNELS, SEED, noise

    reference, farm = sides("2b-0.9.6-distilled")
    generator = torch.Generator().manual_seed(SEED + 1)

    def drawn(like: Any) -> Any:
        made = torch.randn(1, CHANNELS, 3, 4, 4, generator=generator)
        return made.flatten(2).transpose(1, 2).to(like)

    from ltx_video.schedulers import rf

    fake = type(
        "torch", (), {**{k: getattr(torch, k) for k in dir(torch)}, "randn_like": staticmethod(drawn)}
    )
    monkeypatch.setattr(rf, "torch", fake)
    settings = published(
        num_inference_steps=8, guidance_scale=1, stg_scale=0, rescaling_scale=1, stochastic_sampling=True
    )
    wanted = reference.run(noise(3, 4, 4), *words, **settings)
    name = "ltxv-2b-0.9.6-distilled"
    note(name, "first pass", farm.sample(**sampling_of(name, "defaults"))[1:], wanted)


def test_the_tone_map(measured: Measured) -> None:
    pytest.importorskip("ltx_video", reason="needs the environment of `make test-reference`")
    from farm_side import noise
    from ltx_video.pipelines.pipeline_ltx_video import LTXVideoPipeline

    from actors.engines.latents import tone_mapped

    latents = 2 * noise(3, 4, 4)
    found = difference(tone_mapped(latents, 0.6), LTXVideoPipeline.tone_map_latents(latents, 0.6))
    measured.note(TABLE, "ltxv-13b-0.9.8-distilled", "tone map", found)
    assert found <= MODULES

"""The second pass of Generate and of Extend: what is connected counts in it too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_kit import FRAMES, HEIGHT, WIDTH, Kit, stg_guider

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]
PASSES = 3
"""Of the external guider: with words, without, and with a block skipped."""
FIRST, SECOND = (WIDTH // 32, HEIGHT // 32), (WIDTH // 16, HEIGHT // 16)


@pytest.fixture
def upscale(needs: Run, request: pytest.FixtureRequest) -> dict[str, Any]:
    needs("upscale")
    model = request.getfixturevalue("upscale_model")
    return {"upscale": True, "upscale_model": model, "upscale_steps": 2, "upscale_denoise": 0.5}


@pytest.fixture
def sampler(core: Any) -> tuple[Any, list[Any]]:
    """A SAMPLER of the user, and the sizes of the clips that it was given."""
    made, given = core.call("KSamplerSelect", sampler_name="euler")[0], []
    run = made.sampler_function

    def noted(model: Any, x: Any, sigmas: Any, **more: Any) -> Any:
        given.append((x.shape[-1], x.shape[-2], len(sigmas) - 1))
        return run(model, x, sigmas, **more)

    made.sampler_function = noted
    return made, given


def sizes(calls: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(call["x"].shape[-1], call["x"].shape[-2]) for call in calls]


def test_an_external_guider_and_sampler_in_both_passes(
    generate: Run, ltxv: Kit, image: Any, upscale: Any, sampler: Any, model_calls: list[dict[str, Any]]
) -> None:
    """With the image at each pass's own size, as a guide behind the clip."""
    guider = stg_guider(ltxv.model, ltxv.positive, ltxv.negative)
    latent, *_ = generate(guider=guider, sampler=sampler[0], first_image=image, **upscale)
    assert sampler[1] == [(*FIRST, 3), (*SECOND, 2)]
    assert sizes(model_calls) == [FIRST] * 3 * PASSES + [SECOND] * 2 * PASSES
    clip = (FRAMES - 1) // 8 + 1
    assert {call["x"].shape[2] for call in model_calls} == {clip + 1}
    assert latent["samples"].shape[3:] == SECOND[::-1]


def test_extend_has_them_in_every_window(
    generate: Run, extend: Run, ltxv: Kit, upscale: Any, sampler: Any, model_calls: list[dict[str, Any]]
) -> None:
    """A long chain is re-sampled in windows of the Extend's own length."""
    chain = generate(num_frames=97, steps=1)[0]
    model_calls.clear()
    guider = stg_guider(ltxv.model, ltxv.positive, ltxv.negative)
    longer, *_ = extend(chain, num_new_frames=80, steps=1, guider=guider, sampler=sampler[0], **upscale)
    assert sampler[1] == [(*FIRST, 1), (*SECOND, 2), (*SECOND, 2)]
    assert len(model_calls) == PASSES * 5
    assert longer["samples"].shape[2] == chain["samples"].shape[2] + 10

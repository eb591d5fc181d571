"""Where references disagree: by how much the one that is not followed differs from the farm.

Differences are relative to the reference's largest value after six steps, on random weights, which exaggerate
them; what matters is that they are there, and that each has a line in `docs/fidelity.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fidelity import MODULES, STEPS, Measured, difference
from test_steps import Sides, reference_settings

pytestmark = pytest.mark.reference
NAME = "13b-0.9.8-dev"


@pytest.fixture
def note(measured: Measured) -> Callable[[str, float], None]:
    return lambda choice, found: measured.note("choices", choice, "difference", found)


def test_an_image_at_frame_0_is_appended(sides: Sides, words: Any, note: Any) -> None:
    """Lightricks and diffusers put it in the place of the clip's first latent; then that latent is exact."""
    import torch
    from farm_side import noise
    from lightricks import ConditioningItem

    reference, farm = sides(NAME)
    pixels = torch.rand(1, 3, 1, 128, 128, generator=torch.Generator().manual_seed(4)) * 2 - 1
    image = reference.encode(pixels)
    items = [ConditioningItem(pixels, 0, 1.0)]
    wanted = reference.run(noise(4, 4, 4)[:, :, :3], *words, items=items, **reference_settings())[-1]
    got = farm.sample([(image, 0)])[-1]
    assert difference(wanted[:, :, :1], image) <= MODULES
    note(
        "image at frame 0 appended, replaced by Lightricks and diffusers: first latent",
        difference(got[:, :, :1], wanted[:, :, :1]),
    )
    note("the same: all other latents", difference(got[:, :, 1:], wanted[:, :, 1:]))


@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_stg_rescales_what_is_denoised(rescale: float, sides: Sides, words: Any, note: Any) -> None:
    """As ComfyUI's nodes do; Lightricks rescales the velocity. Without rescaling they agree."""
    from farm_side import noise

    from jobs.planning.sampling import PlannedGuider

    reference, farm = sides(NAME)
    settings = reference_settings(stg_scale=1.0, rescaling_scale=rescale or 1.0, skip_block_list=[1])
    wanted = reference.run(noise(3, 4, 4), *words, **settings)
    guider = PlannedGuider("stg", (("blocks", (1,)), ("rescale", rescale), ("stg_scale", 1.0)))
    found = [
        difference(one, other) for one, other in zip(farm.sample(guider=guider)[1:], wanted, strict=True)
    ]
    if rescale:
        note("STG with `rescale: 0.7` of what is denoised, of the velocity at Lightricks", max(found))
    else:
        note("STG without rescale", max(found))
        assert max(found) <= STEPS


def test_the_bench_notices_a_wrong_model(sides: Sides, words: Any) -> None:
    """Positions of the other kind are far beyond the bar: equal numbers are no accident."""
    from farm_side import noise

    reference, farm = sides(NAME)
    wanted = reference.run(noise(3, 4, 4), *words, **reference_settings())[-1]
    residents = farm.engine.residents
    right = residents.get("denoising")
    residents._models["denoising"] = replace(right, causal=not right.causal)
    try:
        assert difference(farm.sample()[-1], wanted) > 10 * STEPS
    finally:
        residents._models["denoising"] = right

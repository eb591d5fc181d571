"""Every sampling step of every published layout, beside Lightricks' own pipeline at equal noise.

Lightricks' pipeline replaces the clip's first latents by an image or clip at frame 0; the farm appends them
as ComfyUI's LTXVAddGuide does. So these steps are compared with Lightricks' loop over ComfyUI's arrangement
(`lightricks.Recorded`); what the other arrangement would change is in `test_choices.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fidelity import STEPS, Measured, difference
from published import PUBLISHED

pytestmark = pytest.mark.reference
TABLE = "steps"
DISTILLED = (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.0)
SECOND_PASS = (0.9094, 0.725, 0.4219, 0.0)

Sides = Callable[[str], tuple[Any, Any]]


@pytest.fixture
def note(measured: Measured) -> Callable[..., None]:
    """Notes the worst step, and holds every step against the bar."""

    def held(name: str, scenario: str, got: list[Any], wanted: list[Any]) -> None:
        found = [difference(one, other) for one, other in zip(got, wanted, strict=True)]
        measured.note(TABLE, name, scenario, *found)
        assert max(found) <= STEPS, f"{name}, {scenario}: {[f'{step:.1e}' for step in found]}"

    return held


@pytest.fixture
def picture() -> np.ndarray:
    """uint8 `[1, 128, 128, 3]`."""
    return np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)


def sigmas_for(tokens: int, steps: int = 6) -> list[float]:
    from actors.engines.schedule import ltx_sigmas

    return ltx_sigmas(steps, tokens, 2.05, 0.95)[:-1].tolist()


def reference_settings(**more: Any) -> dict[str, Any]:
    from farm_side import FRAME_RATE

    return {"frame_rate": FRAME_RATE, "guidance_scale": 3.0, "timesteps": sigmas_for(48), **more}


@pytest.mark.parametrize("name", PUBLISHED)
def test_text_to_video(name: str, sides: Sides, words: Any, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(name)
    wanted = reference.run(noise(3, 4, 4), *words, **reference_settings())
    note(name, "text to video", farm.sample()[1:], wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_first_image(name: str, sides: Sides, words: Any, picture: np.ndarray, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(name)
    image = farm.encode(picture)
    wanted = reference.run(noise(4, 4, 4)[:, :, :3], *words, appended=image, **reference_settings())
    note(name, "first image", farm.sample([(image, 0)])[1:], wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_image_at_frame_8(name: str, sides: Sides, words: Any, picture: np.ndarray, note: Any) -> None:
    """The arrangement is Lightricks' own, who encode the image themselves."""
    import torch
    from farm_side import noise
    from lightricks import ConditioningItem

    reference, farm = sides(name)
    pixels = torch.from_numpy(picture).permute(3, 0, 1, 2)[None].float() / 255.0 * 2.0 - 1.0
    items = [ConditioningItem(pixels, 8, 1.0)]
    wanted = reference.run(noise(4, 4, 4)[:, :, :3], *words, items=items, **reference_settings())
    note(name, "image at frame 8", farm.sample([(farm.encode(picture), 8)])[1:], wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_extend(name: str, sides: Sides, words: Any, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(name)
    tail = noise(2, 4, 4, seed=3)
    wanted = reference.run(noise(5, 4, 4)[:, :, :3], *words, appended=tail, **reference_settings())
    note(name, "Extend", farm.sample(tail=tail)[1:], wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_distilled_list(name: str, sides: Sides, words: Any, note: Any) -> None:
    from farm_side import noise

    reference, farm = sides(name)
    settings = reference_settings(timesteps=list(DISTILLED[:-1]), guidance_scale=1.0)
    wanted = reference.run(noise(3, 4, 4), *words, **settings)
    note(name, "distilled list", farm.sample(sigmas=DISTILLED, cfg=1.0)[1:], wanted)


@pytest.mark.parametrize("name", PUBLISHED)
def test_two_passes_distilled(name: str, sides: Sides, words: Any, note: Any) -> None:
    """The second pass starts from the upsampled first pass with its statistics."""
    from farm_side import noise

    reference, farm = sides(name)
    first = reference_settings(timesteps=list(DISTILLED[:-1]), guidance_scale=1.0)
    small = reference.run(noise(3, 4, 4), *words, **first)[-1]
    second = {**first, "timesteps": list(SECOND_PASS[:-1])}
    wanted = reference.run(noise(3, 8, 8), *words, latents=reference.upsampled(small), **second)
    mine = farm.sample(sigmas=DISTILLED, cfg=1.0)[-1]
    got = farm.upscale(mine, sigmas=SECOND_PASS, cfg=1.0, adain=1.0)
    note(name, "two passes, distilled", got[1:], wanted)


def test_a_file_without_metadata_counts_frames_as_its_release_did(bare: Any) -> None:
    """Nothing but the VAE's layout says that the first latent is one frame."""
    from farm_side import DiffusersFarm, noise

    wanted = bare.reference.run(noise(3, 4, 4), *bare.words, **reference_settings())[-1]
    assert difference(DiffusersFarm.load(bare.path, *bare.words).sample()[-1], wanted) <= STEPS

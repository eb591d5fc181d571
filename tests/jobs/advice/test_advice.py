"""What a spec is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.advice.advice import TINY_LEAST, TINY_MOST, advice
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec

ROOT = Path(__file__).parents[3]


def warned(width: int, height: int, **changes: Any) -> tuple[str, ...]:
    document = {
        "name": "harbor",
        "defaults": {"width": width, "height": height},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a red ball"}}]}],
        **changes,
    }
    return advice(make_plan(JobSpec.model_validate(document)))


@pytest.mark.parametrize("size", [(128, 128), (256, 256), (128, 256)])
def test_sizes_of_the_card_pass(size: tuple[int, int]) -> None:
    assert warned(*size) == ()


@pytest.mark.parametrize("size", [(768, 512), (96, 128), (128, 288)])
def test_other_sizes_of_the_bundled_model_are_told(size: tuple[int, int]) -> None:
    (line,) = warned(*size)
    assert line.startswith(f"dawn: {size[0]}x{size[1]}, ")
    assert "128 to 256" in line
    assert "engine.checkpoint" in line


def test_the_upscaled_size_counts() -> None:
    assert warned(128, 128, upscale={}) == ()
    (line,) = warned(256, 256, upscale={})
    assert "256x256, 512x512 upscaled" in line


def test_films_of_one_size_share_a_line() -> None:
    (line,) = warned(768, 512, matrix={"seed": [1, 2, 3]})
    assert "and 2 more: 768x512" in line


@pytest.mark.parametrize(
    "engine",
    [{"name": "fake"}, {"checkpoint": "a.safetensors"}, {"name": "comfyui", "diffusion_model": "a.gguf"}],
)
def test_other_models_have_sizes_of_their_own(engine: dict[str, str]) -> None:
    assert warned(768, 512, engine=engine) == ()


def test_the_bounds_are_those_of_the_card() -> None:
    card = (ROOT / "actors" / "models" / "MODEL_CARD.md").read_text()
    assert f"Sizes: multiples of 32 from {TINY_LEAST} to {TINY_MOST};" in card


def test_the_readmes_first_film_is_not_warned_of() -> None:
    text = (ROOT / "README.md").read_text()
    document = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert advice(make_plan(JobSpec.model_validate(document))) == ()

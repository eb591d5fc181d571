"""The sizes that recipes have of their files are those that are read off files of the published layouts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from farm.estimates.model_size import model_like
from farm.topology.file_sizes import PUBLISHED_BYTES, parts_of
from jobs.recipes.published import published
from jobs.recipes.recipe import FOLDER, Recipe, recipes
from jobs.spec.engine import EngineConfig
from tests.official.recipe_files import BYTES, LORAS, entries, write_published
from tools.recipe_sizes import fields_by_name

HEADER_BYTES = 0.0035
"""Share of a file's size that its header, a tokenizer in it, and what is kept in 32 bits may take."""

pytest.importorskip("transformers")
ALL = {name: field for path in sorted(FOLDER.glob("*.yaml")) for name, field in fields_by_name(path).items()}


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_every_file_that_is_fetched_has_its_sizes(recipe: Recipe) -> None:
    taken = (recipe.for_engine(engine) for engine in recipe.engines)
    assert set(recipe.sizes) == {file.name for each in taken for _, file in each.downloads}


@pytest.mark.parametrize("name", ALL)
def test_they_are_what_is_read_off_a_file_of_that_layout(name: str, tmp_path: Path) -> None:
    before = parts_of(EngineConfig(), ALL[name], str(tmp_path / name))
    here = parts_of(EngineConfig(), ALL[name], str(write_published(tmp_path, name)))
    assert before is not None
    assert here is not None
    counted = {part: size.parameters for part, size in here.items()}
    assert {part: size.parameters for part, size in before.items()} == counted
    for recipe in recipes().values():
        assert recipe.sizes.get(name, counted) == counted, "run python -m tools.recipe_sizes"


@pytest.mark.parametrize("name", BYTES)
def test_the_layout_is_as_large_as_the_published_file(name: str) -> None:
    values = sum(math.prod(shape) for _, shape in entries(name).values())
    assert 0 <= BYTES[name] - PUBLISHED_BYTES * values < HEADER_BYTES * BYTES[name]


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_the_model_is_the_same_by_its_recipe_and_by_its_file(recipe: Recipe, tmp_path: Path) -> None:
    field = "checkpoint" if "checkpoint" in recipe.files else "diffusion_model"
    engine = EngineConfig.model_validate({field: str(tmp_path / recipe.model.name)})
    before = model_like(engine)
    write_published(tmp_path, recipe.model.name)
    assert before is not None
    assert model_like(engine) == before


def test_a_name_is_known_for_the_field_that_it_is_published_for() -> None:
    assert published("text_encoder", "Lightricks/LTX-2") == published("text_encoder", "/models/LTX-2")
    assert published("checkpoint", "Lightricks/LTX-2") is None
    assert published("text_encoder", "LTX-2") is not None
    assert published("text_encoder", "someone/LTX-2") is None
    assert published("text_encoder", "someone/PixArt-XL-2-1024-MS") is None
    assert published("text_encoder", "gemma/gemma_3_12B_it.safetensors") is not None
    assert published("audio_vae", "ltx-2.3-22b-distilled-1.1.safetensors") is not None
    assert published("checkpoint", "ltx-2.3-22b-distilled-1.0.safetensors") is None
    assert all(published("loras", name) for name in LORAS)

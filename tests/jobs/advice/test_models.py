"""What a spec is warned of beside its model's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.advice.advice import advice
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.recipes.recipe import recipes
from jobs.spec.job import JobSpec
from tests.official.files import write_release

DISTILLED = "ltxv-13b-0.9.8-distilled.safetensors"
DEV = "ltxv-13b-0.9.8-dev.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in (DISTILLED, DEV):
        write_release(folder, name)
    return folder


def warned(
    checkpoint: Path | None, prompt: str = "a pier", engine: str = "diffusers", **changes: Any
) -> list[str]:
    document = {
        "name": "harbor",
        "engine": {"name": engine, **({"checkpoint": str(checkpoint)} if checkpoint else {})},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": prompt}}]}],
        **changes,
    }
    return [line for line in advice(make_plan(JobSpec.model_validate(document))) if "tiny model" not in line]


def test_steps_and_guidance_on_a_distilled_file_are_warned_of_with_its_recipe(folder: Path) -> None:
    (line,) = warned(folder / DISTILLED, defaults={"steps": 20, "cfg": 3})
    assert line.startswith(f"{DISTILLED} is distilled")
    assert "0.9937" in line
    assert "`steps: 20` and `cfg: 3`" in line
    assert line.endswith("Write `recipe: ltxv-13b-0.9.8-distilled`")


def test_its_recipe_is_not_warned_of(folder: Path) -> None:
    spec = {
        "name": "harbor",
        "recipe": "ltxv-13b-0.9.8-distilled",
        "engine": {"checkpoint": str(folder / DISTILLED), "upscale_model": "up.safetensors"},
        "upscale": {},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a pier"}}]}],
    }
    plan = make_plan(load_spec(spec, check_files=False).spec)
    assert not [line for line in advice(plan) if "is distilled" in line]


def test_levels_that_the_file_does_not_list_are_named(folder: Path) -> None:
    (line,) = warned(folder / DISTILLED, defaults={"sigmas": [1.0, 0.8, 0.725, 0.0], "cfg": 1})
    assert "`sigmas` with 0.8" in line


def test_the_second_pass_counts(folder: Path) -> None:
    levels = {"sigmas": [1.0, 0.9937, 0.725, 0.0], "cfg": 1}
    (line,) = warned(
        folder / DISTILLED, defaults=levels, upscale={"steps": 10, "denoise": 0.5, "sigmas": None}
    )
    assert "the second pass has" in line


def test_a_dev_file_takes_any_steps(folder: Path) -> None:
    assert warned(folder / DEV, defaults={"steps": 20, "cfg": 3}) == []


def test_every_recipe_that_is_named_exists() -> None:
    assert "ltxv-13b-0.9.8-distilled" in recipes()


@pytest.mark.parametrize("prompt", ["a (red:1.3) boat", "a (red: .8) boat"])
def test_weights_that_the_engine_reads_as_words_are_told(prompt: str, folder: Path) -> None:
    (line,) = warned(folder / DEV, prompt)
    assert line.startswith("videos[0].chunks[0].generate.prompt: the diffusers engine")
    assert prompt[2:-5] in line


def test_brackets_that_comfyui_weighs_are_told(folder: Path) -> None:
    (line,) = warned(folder / DEV, "a boat (slowly)", "comfyui")
    assert 'by 1.1, here "(slowly)"' in line
    assert '"\\(slowly\\)"' in line


@pytest.mark.parametrize(
    ("engine", "prompt"),
    [
        ("comfyui", "a (red:1.3) boat"),
        ("comfyui", "a boat \\(slowly\\)"),
        ("diffusers", "a boat (slowly)"),
        ("fake", "a (red:1.3) boat"),
    ],
)
def test_what_means_what_it_says_is_not_told(engine: str, prompt: str, folder: Path) -> None:
    assert warned(folder / DEV, prompt, engine) == []

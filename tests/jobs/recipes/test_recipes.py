"""Recipes: data that is whole, and what a spec leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.recipes import recipe as module
from jobs.recipes.fill import fill_recipe, name_files
from jobs.recipes.recipe import Recipe, find_recipe, recipes, recipes_for
from jobs.tasks.digest import Fingerprint, digests
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.planning.planned import Plan

EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"
DISTILLED = "ltxv-13b-0.9.8-distilled"
DEV = "ltxv-13b-0.9.8-dev"
DFR: dict[str, Any] = {
    "diffusion_model": "model.safetensors",
    "vae": "vae.safetensors",
    "upscale_model": "space.safetensors",
    "temporal_upscale_model": "time.safetensors",
    "loras": [{"path": "detail.safetensors", "strength": {"upscale": 0.5, "rounds": 0}}],
}


def spec_of(name: str | dict[str, Any], **more: Any) -> dict[str, Any]:
    chunks = [{"generate": {"prompt": "a"}}, {"extend": {"prompt": "b"}}]
    engine = {"checkpoint": "model.safetensors", "upscale_model": "up.safetensors"}
    film = {"videos": [{"name": "film", "chunks": chunks}]}
    return {"version": 1, "name": "job", "recipe": name, "engine": engine, **film, **more}


def planned(data: dict[str, Any]) -> Plan:
    return make_plan(load_spec(data, check_files=False).spec)


def refused(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        load_spec(data, check_files=False)
    return {problem.place: problem.remedy for problem in caught.value.problems}


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_a_recipe_is_named_as_its_file_and_every_number_has_a_source(recipe: Recipe) -> None:
    assert (module.FOLDER / f"{recipe.name}.yaml").is_file()
    assert all(source.startswith("https://github.com/Lightricks/") for source in recipe.source)
    assert recipe.model.file
    for taken in (recipe, *map(recipe.for_engine, recipe.engines)):
        assert all((file.file is None) != (not file.folders) for _, file in taken.downloads)


@pytest.mark.parametrize("recipe", recipes().values(), ids=lambda recipe: recipe.name)
def test_there_is_a_valid_example_of_each(recipe: Recipe) -> None:
    loaded = load_spec(EXAMPLES / f"{recipe.name}.yaml", check_files=False)
    plan = make_plan(loaded.spec)
    assert plan.recipe == recipe.name
    assert (plan.upscale is not None) == recipe.two_passes
    written = yaml.safe_load((EXAMPLES / f"{recipe.name}.yaml").read_text())
    assert set(written) == {"version", "name", "recipe", "engine", "videos", "output"} | (
        {"upscale"} if recipe.two_passes else set()
    )


def test_a_recipe_becomes_numbers() -> None:
    plan = planned(spec_of(DISTILLED, upscale={}))
    first, second = plan.videos[0].chunks[0].sampling, plan.upscale
    assert second is not None
    assert first.sigmas == (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.0)
    assert (first.sampler, first.cfg) == ("euler", 1.0)
    assert second.sampling.sigmas == (0.9094, 0.725, 0.4219, 0.0)
    assert (second.adain, second.tone_map) == (1.0, 0.6)
    assert (plan.decode.timestep, plan.decode.noise_scale) == (0.05, 0.025)
    assert plan.videos[0].base_width == 800


def test_steps_of_a_retake_count_more_than_the_levels_of_a_recipe() -> None:
    """As those of a chunk do."""
    part = {"start": 0, "stop": 9, "prompt": "a", "steps": 30}
    video = {"name": "film", "source": {"video": "a.mp4"}, "retakes": [part]}
    (filled,) = fill_recipe(spec_of(DISTILLED, videos=[video]))["videos"]
    assert filled["retakes"] == [part | {"sigmas": None}]


def test_guidance_from_step_to_step_reaches_the_plan() -> None:
    params = dict(planned(spec_of(DEV)).videos[0].chunks[0].sampling.guider.params)
    assert params["cfg"] == (1.0, 1.0, 6.0, 8.0, 6.0, 1.0, 1.0)
    assert params["blocks"] == ((), (11, 25, 35, 39), (22, 35, 39), (28,), (28,), (28,), (28,))
    assert (params["cfg_star_rescale"], params["space"]) == (True, "velocity")


def test_what_the_spec_says_stays() -> None:
    plan = planned(spec_of(DISTILLED, defaults={"width": 512, "steps": 12}, decode={"timestep": 0.1}))
    sampling = plan.videos[0].chunks[0].sampling
    assert (sampling.sigmas, sampling.steps, sampling.sampler) == (None, 12, "euler")
    assert plan.videos[0].base_width == 512
    assert (plan.decode.timestep, plan.decode.noise_scale) == (0.1, 0.025)


def test_what_a_chunk_says_wins_over_lists_of_the_recipe() -> None:
    data = spec_of(DEV)
    data["videos"][0]["chunks"][1]["extend"] |= {"steps": 4, "cfg": 2.0}
    first, second = (chunk.sampling for chunk in planned(data).videos[0].chunks)
    assert first.sigmas is not None
    assert "cfg" in dict(first.guider.params)
    assert (second.sigmas, second.steps, second.cfg) == (None, 4, 2.0)
    assert "cfg" not in dict(second.guider.params)
    assert "levels" in dict(second.guider.params)


def test_steps_in_the_matrix_count() -> None:
    sampling = planned(spec_of(DISTILLED, matrix={"steps": [4, 8]})).videos[1].chunks[0].sampling
    assert (sampling.sigmas, sampling.steps) == (None, 8)


def test_without_upscale_there_is_no_second_pass() -> None:
    assert planned(spec_of(DISTILLED)).upscale is None


def test_a_recipe_that_changes_changes_no_stored_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy of the spec that a run keeps, and its digests, hold numbers alone."""
    loaded = load_spec(spec_of(DISTILLED, upscale={}), check_files=False)
    plan = make_plan(loaded.spec)
    other = find_recipe(DISTILLED)
    assert other is not None
    fills = {"defaults": {"sigmas": [1.0, 0.0], "max_shift": 9.0}, "upscale": {"joint": "none"}}
    monkeypatch.setattr(module, "recipes", lambda: {DISTILLED: other.model_copy(update={"fills": fills})})
    again = make_plan(load_spec(yaml.safe_load(loaded.text), check_files=False).spec)
    assert again == plan
    known = Fingerprint({}, {}, {})
    assert digests(build_graph(again), known) == digests(build_graph(plan), known)
    assert make_plan(load_spec(spec_of(DISTILLED, upscale={}), check_files=False).spec) != plan


def test_temporal_rounds_are_a_recipe_of_their_own() -> None:
    """The IC-LoRA counts in the second pass alone: rounds show it nothing to look at."""
    plan = make_plan(load_spec(EXAMPLES / "ltx-2.5-dfr.yaml", check_files=False).spec)
    first, second = plan.videos[0].chunks[0].sampling, plan.upscale
    assert second is not None
    assert (first.sampler, second.sampling.sampler) == ("euler_ancestral", "euler_ancestral")
    assert (second.temporal, second.sampling.sigmas) == (2, (0.909375, 0.725, 0.421875, 0.0))
    (lora,) = plan.engine.loras
    assert [lora.strengths.of(which) for which in ("sample", "upscale", "rounds")] == [0.0, 0.5, 0.0]
    four = planned(spec_of("ltx-2.5-dfr", engine=DFR, upscale={"temporal": 4})).upscale
    assert four is not None
    assert four.temporal == 4
    without = spec_of("ltx-2.5-dfr", engine={**DFR, "loras": []}, upscale={})
    assert "strength: {upscale: 0.5, rounds: 0.0}" in refused(without)["engine.loras"]
    comfyui = spec_of("ltx-2.5-dfr", engine={**DFR, "name": "comfyui"}, upscale={})
    assert "engine.name: diffusers" in refused(comfyui)["engine.name"]


def test_a_model_has_its_plain_recipe_first() -> None:
    """And each of those that it has is for it."""
    found = recipes_for("ltx-2", "2.5", "22b", "distilled")
    assert [recipe.name for recipe in found] == ["ltx-2.5-distilled", "ltx-2.5-dfr"]
    assert len({recipe.model for recipe in found}) == 1
    assert [recipe.name for recipe in recipes_for("ltx-2", "2.5", "22b", "")] == ["ltx-2.5-dev"]
    assert recipes_for("ltx-2", "2.6", "22b", "") == ()


@pytest.mark.parametrize(("name", "crf"), [("ltx-2.3-dev", 33), ("ltx-2.5-dev", 18)])
def test_a_dev_model_is_guided_first_and_distilled_by_a_lora_then(name: str, crf: int) -> None:
    plan = make_plan(load_spec(EXAMPLES / f"{name}.yaml", check_files=False).spec)
    first, second = plan.videos[0].chunks[0].sampling, plan.upscale
    assert second is not None
    assert (first.steps, first.cfg, first.sampler) == (30, 3.0, "euler")
    assert dict(first.guider.params) == {
        "audio_cfg": 7.0, "stg_scale": 1.0, "modality": 3.0, "rescale": 0.7, "blocks": (28,),
    }  # fmt: skip
    assert (second.sampling.cfg, second.sampling.sampler) == (1.0, "euler")
    assert second.sampling.sigmas == (0.909375, 0.725, 0.421875, 0.0)
    (lora,) = plan.engine.loras
    assert [lora.strengths.of(which) for which in ("sample", "upscale")] == [0.0, 1.0]
    recipe = find_recipe(name)
    assert recipe is not None
    assert recipe.fills["defaults"]["crf"] == crf


def test_refusals_name_the_way_out() -> None:
    assert refused(spec_of("ltxv-13b-0.9.8-distiled"))["recipe"] == f"did you mean `{DISTILLED}`?"
    engine = {"name": "comfyui", "checkpoint": "a.safetensors", "upscale_model": "b.safetensors"}
    second = refused(spec_of("ltx-2-dev", engine=engine, upscale={}))["engine.loras"]
    assert "engine.name: diffusers" in second
    assert f"farm models get {DISTILLED}" in refused(spec_of(DISTILLED, engine={}))["engine.checkpoint"]
    engine = {"name": "comfyui", "checkpoint": "a.safetensors", "upscale_model": "b.safetensors"}
    two_passes = spec_of("ltxv-2b-0.9.6-dev", engine=engine, upscale={})
    assert "leave out `upscale`" in refused(two_passes)["upscale"]


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    from tests.official.files import write_release

    text_encoder = tmp_path / "t5"
    (text_encoder / "text_encoder").mkdir(parents=True)
    (text_encoder / "text_encoder" / "model.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (text_encoder / "tokenizer").mkdir()
    for name, words in {
        "ltxv-13b-0.9.8-dev.safetensors": "is dev",
        "ltxv-2b-0.9.8-distilled.safetensors": "is 2b",
        "ltxv-13b-0.9.7-distilled.safetensors": "",
    }.items():
        engine = {"checkpoint": str(write_release(tmp_path, name)), "text_encoder": str(text_encoder)}
        data = spec_of(DISTILLED, engine=engine)
        if not words:
            load_spec(data)
            continue
        with pytest.raises(SpecError, match=f"{name}.* {words}"):
            load_spec(data)


@pytest.mark.parametrize(
    "broken",
    [
        {"recipe": {}},
        {"recipe": {"name": []}},
        {"recipe": {"name": DISTILLED}, "engine": 3},
        {"recipe": {"name": DISTILLED}, "engine": {"name": []}},
        {"recipe": {"name": "none"}, "engine": {}},
    ],
)
def test_files_are_named_for_whole_documents_alone(broken: dict[str, Any]) -> None:
    assert name_files(broken) == broken


@pytest.mark.parametrize("broken", [{"videos": 3}, {"defaults": []}, {"videos": [1]}, {"matrix": 2}])
def test_a_broken_document_is_left_to_the_checks(broken: dict[str, Any]) -> None:
    filled = fill_recipe({**spec_of(DISTILLED), **broken})
    assert all(filled[key] == value for key, value in broken.items())
    refused({**spec_of(DISTILLED), **broken})

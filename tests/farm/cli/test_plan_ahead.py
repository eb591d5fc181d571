"""`farm plan` before anything is downloaded: sizes as recipes have them, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.official.files import write_release, write_sparse
from tests.official.recipe_files import write_published

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm

DISTILLED = "ltxv-13b-0.9.8-distilled"
FILES = (f"{DISTILLED}.safetensors", "PixArt-XL-2-1024-MS", "ltxv-spatial-upscaler-0.9.8.safetensors")
EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"


def write_spec(folder: Path, **more: Any) -> Path:
    chunk = {"generate": {"prompt": "a harbor at dawn", "num_frames": 97}}
    document = {
        "version": 3,
        "name": "film",
        "recipe": DISTILLED,
        "defaults": {"width": 768, "height": 512},
        "videos": [{"name": "film", "chunks": [chunk]}],
        "upscale": {},
        **more,
    }
    path = folder / "film.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def planned(farm: Farm, spec: Path, memory: float = 80, *words: str) -> dict[str, Any]:
    runs = spec.parent / "runs"
    answer = farm(
        "plan", spec, "--gpus", 1, "--gpu-memory", memory, "--runs", runs, "--output", "json", *words
    )
    assert answer.code == 0, answer.err
    found: dict[str, Any] = answer.json
    return found


def test_no_model_has_to_be_here_nor_named(farm: Farm, tmp_path: Path) -> None:
    report = planned(farm, write_spec(tmp_path))
    assert report["models"] == (
        f"sizes as stored with the recipe {DISTILLED}, the files are not here: {FILES[0]}, {FILES[2]}, "
        f"{FILES[1]}; `farm models get {DISTILLED} --to models` fetches them"
    )
    assert report["memory"] == (
        "models are held against 80 GiB a GPU; all stages together need about 46, upscale alone 30"
    )
    assert report["times_from"].startswith("LTXV 13B on one H200")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_example_of_each_recipe_is_planned_where_its_files_will_lie(
    path: Path, farm: Farm, tmp_path: Path
) -> None:
    for words in ((), ("--gpu-memory", "141")):
        answer = farm("plan", path, "--gpus", 1, *words, "--runs", tmp_path / "runs")
        assert answer.code == 0, answer.err
        assert f"models: sizes as stored with the recipe {path.stem}, the files are not here: " in answer.out
        assert f"`farm models get {path.stem} --to models` fetches them" in answer.out
    assert "memory: models are held against 141 GiB a GPU; all stages together need about" in answer.out


def test_files_that_are_here_count_by_themselves(farm: Farm, tmp_path: Path) -> None:
    before = planned(farm, write_spec(tmp_path))
    for name in FILES:
        path = tmp_path / name
        write_release(tmp_path, name) if name.startswith(DISTILLED) else write_published(tmp_path, name)
        assert path.exists()
    (tmp_path / FILES[1] / "tokenizer").mkdir()
    now = planned(farm, write_spec(tmp_path))
    assert now["models"] == ""
    assert now["memory"] == before["memory"]


def test_a_file_of_another_size_counts_and_is_told(farm: Farm, tmp_path: Path) -> None:
    text = tmp_path / FILES[1] / "text_encoder"
    text.mkdir(parents=True)
    write_sparse(text / "model.safetensors", {"x": ("F8_E4M3", (2**15, 2**15))})
    report = planned(farm, write_spec(tmp_path))
    assert f"{FILES[1]} takes 2.0 GiB here, 8.9 as its recipe has it: the file counts" in report["models"]
    assert f"the files are not here: {FILES[0]}, {FILES[2]};" in report["models"]


def test_the_engine_decides_which_files_are_meant(farm: Farm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, recipe="ltx-2.3-distilled", engine={"name": "comfyui"})
    said = planned(farm, spec, 141)["models"]
    assert "gemma_3_12B_it.safetensors" in said
    assert "`farm models get ltx-2.3-distilled --engine comfyui --to models` fetches them" in said


def test_a_hub_id_may_be_in_a_cache(farm: Farm, tmp_path: Path) -> None:
    engine = {"checkpoint": FILES[0], "text_encoder": f"PixArt-alpha/{FILES[1]}", "upscale_model": FILES[2]}
    said = planned(farm, write_spec(tmp_path, engine=engine))["models"]
    assert said.startswith(f"PixArt-alpha/{FILES[1]} counts as the recipe {DISTILLED} has it; sizes as")
    assert f"not here: {FILES[0]}, {FILES[2]};" in said


def test_what_does_not_fit_says_where_its_size_is_from(farm: Farm, tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    answer = farm("plan", spec, "--gpus", 1, "--gpu-memory", 8, "--runs", tmp_path / "runs")
    assert answer.code == 5
    assert "decode alone needs 21 GiB and a GPU has 8" in answer.err
    assert f"sizes as stored with the recipe {DISTILLED}, the files are not here" in answer.err


def test_a_plan_alone_goes_ahead_of_a_download(farm: Farm, tmp_path: Path) -> None:
    """What a render refuses, `check` refuses, and `--explicit` prints what can be rendered."""
    spec, runs = write_spec(tmp_path), tmp_path / "runs"
    for words in (("check", spec), ("render", spec), ("plan", spec, "--explicit")):
        answer = farm(*words, "--runs", runs)
        assert answer.code == 2
        assert f"farm models get {DISTILLED}" in answer.err
    assert not runs.exists()


def test_files_that_no_recipe_has_are_still_missed(farm: Farm, tmp_path: Path) -> None:
    engine = {"checkpoint": "./ltxv-13b-0.9.8-distiled.safetensors", "upscale_model": FILES[2]}
    spec = write_spec(tmp_path, engine={**engine, "text_encoder": FILES[1]})
    answer = farm("plan", spec, "--runs", tmp_path / "runs")
    assert answer.code == 2
    assert "engine.checkpoint" in answer.err
    assert "does not exist" in answer.err
    assert "engine.upscale_model" not in answer.err


def test_a_single_pass_needs_no_files_of_a_second(farm: Farm, tmp_path: Path) -> None:
    path = write_spec(tmp_path, recipe="ltx-2.3-dev")
    document = yaml.safe_load(path.read_text())
    del document["upscale"]
    path.write_text(yaml.safe_dump(document))
    said = planned(farm, path, 141)["models"]
    assert "not here: ltx-2.3-22b-dev.safetensors, LTX-2;" in said

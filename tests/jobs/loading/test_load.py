"""Loading specs: what is accepted, and what every mistake is called."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from actors.models import TINY_CHECKPOINT
from jobs.errors import InvalidInput, UsageError
from jobs.loading.load import load_spec
from jobs.parsing.document import parse_yaml
from jobs.planning.facts import Probes, VideoFact
from jobs.spec.engine import Code
from tests.jobs.spec_files import FIRST, NO_TENSORS, SPEC, changed, load, problems


def test_the_example_of_the_design_loads(folder: Path) -> None:
    loaded = load(folder, SPEC)
    assert loaded.spec.videos[0].chunks[0].settings.prompt == "a harbor"
    assert loaded.facts.videos[str(folder / "shot.mp4")].frames == 120


def test_paths_are_relative_to_the_spec(folder: Path) -> None:
    spec = load(folder, SPEC).spec
    assert spec.output.dir == str(folder / "out")
    assert spec.videos[0].sound
    assert spec.videos[0].sound[0].file == str(folder / "score.wav")
    assert spec.engine.checkpoint == "ltxv.safetensors"


def test_films_go_beside_the_spec_where_it_does_not_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a render that is resumed from the stored spec, in another folder."""
    loaded = load(folder, changed("output", ...))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert loaded.spec.output.dir == str(folder / "out")
    assert load_spec(yaml.safe_load(loaded.text)).spec.output.dir == str(folder / "out")
    assert load(folder, changed("output.dir", ...)).spec.output.dir == str(folder / "out")


def test_a_model_beside_the_spec_becomes_a_path(folder: Path) -> None:
    (folder / "ltxv.safetensors").symlink_to(TINY_CHECKPOINT)
    assert load(folder, SPEC).spec.engine.checkpoint == str(folder / "ltxv.safetensors")


def test_the_text_of_a_loaded_spec_loads_to_the_same_spec(folder: Path, tmp_path: Path) -> None:
    loaded = load(folder, SPEC)
    elsewhere = tmp_path / "runs" / "spec.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(loaded.text, encoding="utf-8")
    assert load_spec(elsewhere, probes=Probes(lambda _: VideoFact(120, 640, 480, 25.0))) == loaded


def test_json_and_mappings_load_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "spec.json").write_text(
        '{"name": "x", "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p"}}]}]}'
    )
    monkeypatch.chdir(folder)
    mapping = {"name": "x", "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p"}}]}]}
    assert load_spec(folder / "spec.json").spec == load_spec(mapping).spec


def test_overrides_change_the_spec(folder: Path) -> None:
    spec = load(folder, SPEC, "defaults.steps=5", "videos[0].chunks[1].extend.prompt=rain").spec
    assert spec.defaults.steps == 5
    assert spec.videos[0].chunks[1].settings.prompt == "rain"
    with pytest.raises(UsageError):
        load(folder, SPEC, "defaults.steps")


def with_text_encoder(name: str, reference: str) -> dict[str, Any]:
    spec = changed("engine", {"name": name, "text_encoder": reference})
    spec.pop("upscale")
    return spec


@pytest.mark.parametrize(
    "reference", ["lora.safetensors", "lora.pt", "t5xxl.gguf", "owner/t5xxl.safetensors"]
)
def test_a_text_encoder_of_diffusers_is_no_file(folder: Path, reference: str) -> None:
    (problem,) = problems(folder, with_text_encoder("diffusers", reference))
    assert problem.place == "engine.text_encoder"
    assert problem.value.endswith("names a file")
    assert "`text_encoder/` and `tokenizer/`" in problem.rule
    assert "folder or hub id" in problem.remedy


def test_text_encoders_that_an_engine_takes(folder: Path) -> None:
    (folder / "t5.safetensors" / "text_encoder").mkdir(parents=True)
    (folder / "t5.safetensors" / "text_encoder" / "model.safetensors").write_bytes(NO_TENSORS)
    for name, reference in (
        ("diffusers", "t5.safetensors"),
        ("diffusers", "Lightricks/LTX-Video"),
        ("comfyui", "lora.safetensors"),
        ("comfyui", "t5xxl.safetensors"),
    ):
        assert load(folder, with_text_encoder(name, reference)).spec.engine.text_encoder is not None


def test_every_mistake_is_listed_at_once_in_the_order_of_the_document(folder: Path) -> None:
    spec = copy.deepcopy(SPEC)
    spec["engine"]["loras"] = [{"path": "lora.pt"}]
    spec["defaults"]["width"] = 770
    spec["videos"][0]["chunks"][0]["generate"]["num_frames"] = 98
    spec["videos"][0]["chunks"][2] = {"generate": {}, "extend": {}}
    spec["videos"][0]["sound"][0]["file"] = "no.wav"
    spec["videos"][1]["name"] = "Dawn"
    spec["output"]["codec"] = "prores"
    assert [problem.place for problem in problems(folder, spec)] == [
        "engine.loras[0].path", "defaults.width", "videos[0].chunks[0].generate.num_frames",
        "videos[0].chunks[2]", "videos[0].sound[0].file", "videos[1].name", "output.codec",
    ]  # fmt: skip


def test_a_problem_names_its_line(folder: Path) -> None:
    text = "name: x\nvideos:\n  - name: a\n    chunks:\n      - generate: {prompt: p, num_frames: 98}\n"
    (problem,) = problems(folder, text)
    assert (problem.value, problem.line) == ("98", 5)
    assert "98 (line 5)" in str(problem)


def test_a_problem_names_its_line_beside_what_the_command_line_sets(folder: Path) -> None:
    text = "version: 3\nname: a\ndefaults:\n  width: 130\n  height: 64\n  steps: yes\nvideos: []\n"
    more = ("defaults.height=70", "defaults.guider.nme=cfg", "videos=[{name: b}]")
    found = {problem.place: problem.line for problem in problems(folder, text, *more)}
    assert found["defaults.width"] == 4
    assert found["defaults.steps"] == 6
    assert found["defaults.height"] is found["defaults.guider.nme"] is found["videos[0]"] is None


def test_pickles_load_when_the_command_line_allows_them(folder: Path) -> None:
    spec = load(folder, changed("engine.loras", [{"path": "lora.pt"}]), code=Code(allow_pickle=True)).spec
    assert spec.engine.allow_pickle


def test_words_that_old_yaml_takes_for_truth_values_are_words(folder: Path) -> None:
    text = "name: no\nvideos: [{name: a, chunks: [{generate: {prompt: p}}]}]\nrun: {verify: {black: off}}\n"
    spec = load(folder, text, "run.verify.frozen=off").spec
    assert (spec.name, spec.run.verify.black, spec.run.verify.frozen) == ("no", "off", "off")


@pytest.mark.parametrize("written", ["True", "007", "0x10"])
def test_text_without_quotes_is_quoted_as_it_is_written(folder: Path, written: str) -> None:
    text = f"name: {written}\nvideos:\n  - name: a\n    chunks:\n      - generate: {{prompt: p}}\n"
    (problem,) = problems(folder, text)
    assert problem.remedy == f'write "{written}", in quotes'


def test_paths_of_another_machine_are_not_looked_for(folder: Path) -> None:
    spec = changed("videos.0.sound.0.file", "/cluster/score.wav")
    assert load(folder, spec, check_files=False).spec.videos[0].sound


def test_a_source_that_is_no_video_is_named(folder: Path) -> None:
    def probe(path: str) -> VideoFact:
        raise InvalidInput(f"{path} holds no video; name a file that does")

    (problem,) = problems(folder, SPEC, probes=Probes(probe))
    assert problem.place == "videos[1].source.video"


def test_a_long_reason_is_not_cut_in_a_word(folder: Path) -> None:
    def probe(_path: str) -> VideoFact:
        raise InvalidInput("words " * 100)

    (problem,) = problems(folder, SPEC, probes=Probes(probe))
    assert problem.value.endswith("words words ...")


@pytest.mark.parametrize("written", ["007", "true"])
def test_text_on_the_command_line_is_quoted_for_the_shell(folder: Path, written: str) -> None:
    (problem,) = problems(folder, SPEC, f"name={written}")
    assert problem.remedy == f"write -p 'name=\"{written}\"'"


def test_a_source_shorter_than_nine_frames_is_named(folder: Path) -> None:
    (problem,) = problems(folder, SPEC, probes=Probes(lambda _: VideoFact(8, 640, 480, 25.0)))
    assert problem.place == "videos[1].source.video"
    assert "at least 9" in problem.rule


def test_a_film_never_replaces_an_input(folder: Path) -> None:
    spec = changed("videos.1.name", "shot")
    spec["output"]["dir"] = "."
    spec.pop("matrix")
    (problem,) = problems(folder, spec)
    assert problem.place == "videos[1].source.video"
    assert "never overwritten" in problem.rule


def test_words_of_the_matrix_stand_in_a_prompt(folder: Path) -> None:
    spec = changed("videos.0.chunks.0.generate.prompt", "a {ship}")
    spec["matrix"]["ship"] = ["boat", 3]
    assert load(folder, spec)
    spec["matrix"]["ship"] = ["boat", {"a": 1}]
    assert [problem.place for problem in problems(folder, spec)] == ["matrix.ship[1]"]


def test_a_placeholder_that_the_matrix_spells_otherwise(folder: Path) -> None:
    spec = changed("videos.0.chunks.0.generate.prompt", "a {colour} ball")
    spec["matrix"]["color"] = ["red", "blue"]
    found = {problem.place: problem.remedy for problem in problems(folder, spec)}
    assert found == {
        "videos[0].chunks[0].generate.prompt": "did you mean {color}?",
        "matrix.color": "did you mean `colour`?",
    }


def test_braces_that_name_no_word_are_left_to_the_model(folder: Path) -> None:
    assert load(folder, changed("videos.0.chunks.0.generate.prompt", "a {red|blue} ball, {}, { x }"))


def test_nothing_is_written(folder: Path) -> None:
    load(folder, SPEC)
    before = sorted(path.name for path in folder.rglob("*"))
    problems(folder, changed("output.codec", "prores"))
    load(folder, SPEC)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_loading_is_light() -> None:
    code = (
        "import sys, time; start = time.process_time();"
        "import jobs.loading.load, jobs.planning.plan, jobs.tasks.graph;"
        "heavy = {'torch', 'ray', 'numpy', 'diffusers', 'fsspec'} & set(sys.modules);"
        "print(sorted(heavy), time.process_time() - start < 1.0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


@pytest.mark.parametrize(
    "change", [lambda spec: spec.update(upscale=None), lambda spec: spec.update(matrix={})]
)
def test_sections_may_be_switched_off(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    spec = copy.deepcopy(SPEC)
    change(spec)
    assert load(folder, spec)


def test_a_picture_and_a_sound_that_are_none_are_named(folder: Path) -> None:
    seen: list[str] = []

    def probe(path: str, **_: float) -> NoReturn:
        seen.append(path)
        raise InvalidInput(f"{Path(path).name} is something else; name another\nand more")

    found = problems(folder, SPEC, probes=Probes(lambda _: VideoFact(120, 640, 480, 25.0), probe, probe))
    named = {problem.place.rpartition(".")[2] for problem in found}
    assert {"first_image", "file"} <= named
    assert all(problem.rule.startswith(("an image", "a file with sound")) for problem in found)
    assert len(seen) == len(set(seen)), "each file is looked into once"


@pytest.mark.parametrize("text", ["1e3", "0o17", "+1.", "12:30", "off", "1_000", "a: b", "\x85\u2028", "- x"])
def test_text_that_looks_like_something_else_is_stored_as_text(folder: Path, text: str) -> None:
    (folder / "spec.json").write_text(json.dumps(changed(f"{FIRST}.prompt", text)))
    probes = Probes(lambda _: VideoFact(120, 640, 480, 25.0))
    loaded = load_spec(folder / "spec.json", probes=probes)
    assert load_spec(parse_yaml(loaded.text).data, probes=probes) == loaded


def test_no_more_than_a_hundred_problems_are_listed(folder: Path) -> None:
    found = problems(folder, {**SPEC, **{f"prompt{number}": 1 for number in range(20_000)}})
    assert len(found) == 101
    assert found[-1].place == "the spec"
    assert "check again" in found[-1].remedy


def test_words_that_would_make_a_prompt_too_long_are_refused(folder: Path) -> None:
    matrix = {"a": ["{b}" * 600], "b": ["x" * 2_000]}
    spec = {**changed(f"{FIRST}.prompt", "{a}" * 600 + "{b}"), "matrix": matrix}
    (problem,) = problems(folder, spec)
    assert problem.place == "videos[0].chunks[0].generate.prompt"
    assert problem.value == f"up to {600 * 600 * 2_000 + 2_000} characters"


def test_a_prompt_that_is_missing_is_the_fault_not_the_word_that_it_named(folder: Path) -> None:
    video = {"name": "a", "chunks": [{"generate": {"num_frames": 9}}]}
    spec = {"name": "x", "engine": {"name": "fake"}, "videos": [video], "matrix": {"ship": ["boat", "raft"]}}
    assert [problem.place for problem in problems(folder, spec)] == ["videos[0].chunks[0].generate.prompt"]

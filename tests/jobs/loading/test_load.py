"""Loading specs: what is accepted, and what every mistake is called."""

from __future__ import annotations

import copy
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.models import TINY_CHECKPOINT
from jobs.errors import InvalidInput, Problem, SpecError, UsageError
from jobs.loading.load import LoadedSpec, load_spec
from jobs.parsing.document import parse_yaml
from jobs.planning.facts import Probes, VideoFact
from jobs.spec.engine import Code

SPEC: dict[str, Any] = {
    "version": 1,
    "name": "harbor",
    "engine": {"name": "comfyui", "checkpoint": "ltxv.safetensors", "upscale_model": "up.safetensors"},
    "defaults": {"width": 768, "height": 512, "frame_rate": 25.0, "steps": 20, "cfg": 3.0, "seed": 7},
    "upscale": {"steps": 10, "cfg": 3.0, "denoise": 0.5},
    "videos": [
        {
            "name": "dawn",
            "chunks": [
                {"generate": {"prompt": "a harbor", "num_frames": 97, "first_image": "dawn.png"}},
                {"extend": {"prompt": "fog", "num_new_frames": 80, "overlap_frames": 16, "repeat": 20}},
                {"generate": {"prompt": "noon"}},
            ],
            "audio": {"file": "score.wav", "mode": "mux"},
        },
        {"name": "more", "source": {"video": "shot.mp4"}, "chunks": [{"extend": {"prompt": "the boat"}}]},
    ],
    "matrix": {"seed": [7, 8, 9]},
    "output": {"dir": "out", "container": "mp4", "codec": "h264", "crf": 16},
    "run": {"topology": "auto", "max_attempts": 3, "threads": 2, "encode_threads": 1},
}


NO_TENSORS = struct.pack("<Q", 2) + b"{}"
"""A whole safetensors file, with nothing in it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dawn.png", "score.wav", "shot.mp4", "lora.pt"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "lora.safetensors").write_bytes(NO_TENSORS)
    return tmp_path


def load(folder: Path, spec: Any, *overrides: str, **options: Any) -> LoadedSpec:
    path = folder / "spec.yaml"
    path.write_text(
        spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False), encoding="utf-8"
    )
    options.setdefault("probes", Probes(lambda path: VideoFact(120, 640, 480, 25.0)))
    return load_spec(path, overrides, **options)


def problems(folder: Path, spec: Any, *overrides: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load(folder, spec, *overrides, **options)
    return caught.value.problems


def changed(place: str, value: Any) -> dict[str, Any]:
    """The spec with one value set at `a.0.b`, or removed where the value is `...`."""
    spec = copy.deepcopy(SPEC)
    here: Any = spec
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in path:
        here = here.setdefault(part, {}) if isinstance(here, dict) else here[part]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return spec


def test_the_example_of_the_design_loads(folder: Path) -> None:
    loaded = load(folder, SPEC)
    assert loaded.spec.videos[0].chunks[0].settings.prompt == "a harbor"
    assert loaded.facts.videos[str(folder / "shot.mp4")].frames == 120


def test_paths_are_relative_to_the_spec(folder: Path) -> None:
    spec = load(folder, SPEC).spec
    assert spec.output.dir == str(folder / "out")
    assert spec.videos[0].audio is not None
    assert spec.videos[0].audio.file == str(folder / "score.wav")
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
    assert load_spec(elsewhere, probes=Probes(lambda path: VideoFact(120, 640, 480, 25.0))) == loaded


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


VIDEO = "videos.0"
FIRST = "videos.0.chunks.0.generate"
EXTEND = "videos.0.chunks.1.extend"
SECOND = "videos.1.chunks.0.extend"
FAULTS: list[tuple[str, Any, str, str]] = [
    (f"{FIRST}.first_image", "y" * 300, "videos[0].chunks[0].generate.first_image", "existing"),
    (f"{FIRST}.first_image", "~no-such-user/x.png", "videos[0].chunks[0].generate.first_image", "in full"),
    ("engine.checkpoint", "./" + "z" * 400, "engine.checkpoint", "existing"),
    ("output.dir", "a\0b", "output.dir", "relative"),
    ("version", 2, "version", "`1`|1"),
    ("name", ..., "name", "add `name`"),
    ("name", "../x", "name", "write 'x'"),
    ("nam", "x", "nam", "`name`"),
    ("defaults.width", 770, "defaults.width", "768 or 800"),
    ("defaults.height", 0, "defaults.height", "write 32"),
    ("defaults.width", "768", "defaults.width", "whole number"),
    ("defaults.steps", True, "defaults.steps", "whole number"),
    ("defaults.steps", 0, "defaults.steps", "at least 1"),
    ("defaults.cfg", float("nan"), "defaults.cfg", "finite"),
    ("defaults.cfg", float("inf"), "defaults.cfg", "finite"),
    ("defaults.cgf", 3, "defaults.cgf", "`cfg`"),
    ("defaults.seed", 2**63, "defaults.seed", "at most"),
    ("defaults.seed", 10**200, "defaults.seed", "at most"),
    ("defaults.frame_rate", 0, "defaults.frame_rate", "at least 1"),
    ("defaults.attention_mode", "saeg", "defaults.attention_mode", "`sage`"),
    ("defaults.sigmas", [0.5, 0.9, 0.0], "defaults.sigmas", "sort"),
    ("defaults.sigmas", [1.0, "x"], "defaults.sigmas[1]", "number"),
    ("defaults.guider", {"nam": "cfg"}, "defaults.guider.nam", "`name`"),
    ("defaults", [], "defaults", "mapping"),
    ("upscale.denoise", 1.5, "upscale.denoise", "at most 1"),
    (f"{VIDEO}.name", "", "videos[0].name", "film"),
    ("name", "..", "name", "write 'film'"),
    ("upscale", "yes", "upscale", "`upscale: {}`"),
    ("upscale", True, "upscale", "`upscale: {}`"),
    (f"{VIDEO}.chunks.2", {"generate": None}, "videos[0].chunks[2]", "`- generate: {prompt: ...}`"),
    (f"{VIDEO}.chunks.2", "generate a ball", "videos[0].chunks[2]", '`- generate: {prompt: "a ball"}`'),
    (f"{VIDEO}.chunks.2", "extend: it rains", "videos[0].chunks[2]", '`- extend: {prompt: "it rains"}`'),
    (f"{VIDEO}.chunks", [], "videos[0].chunks", "at least 1"),
    (f"{VIDEO}.chunks", ..., "videos[0].chunks", "add `chunks`"),
    (f"{VIDEO}.chunks.2", {}, "videos[0].chunks[2]", "`- generate: {prompt: ...}`"),
    (f"{VIDEO}.chunks.2", "noon", "videos[0].chunks[2]", "mapping"),
    (f"{FIRST}.num_frames", 98, "videos[0].chunks[0].generate.num_frames", "97 or 105"),
    (f"{FIRST}.num_frames", 1, "videos[0].chunks[0].generate.num_frames", "write 9"),
    (f"{FIRST}.num_frames", 10**9, "videos[0].chunks[0].generate.num_frames", "write 8193"),
    (f"{FIRST}.width", 64, "videos[0].chunks[0].generate.width", "defaults or videos"),
    (f"{FIRST}.first_image", "no.png", "videos[0].chunks[0].generate.first_image", "existing"),
    (f"{FIRST}.first_image", ".", "videos[0].chunks[0].generate.first_image", "existing"),
    (f"{VIDEO}.chunks.2.generate.prompt", ..., "videos[0].chunks[2].generate.prompt", "say what"),
    (f"{VIDEO}.chunks.0", {"extend": {"prompt": "x"}}, "videos[0].chunks[0].extend", "generate"),
    (f"{EXTEND}.overlap_frames", 12, "videos[0].chunks[1].extend.overlap_frames", "8 or 16"),
    (f"{EXTEND}.overlap_frames", 112, "videos[0].chunks[1].extend.overlap_frames", "104 or less"),
    (f"{EXTEND}.overlap_frames", 96, "videos[0].chunks[1].extend.overlap_frames", "88 or less"),
    (f"{EXTEND}.num_new_frames", 0, "videos[0].chunks[1].extend.num_new_frames", "write 8"),
    (f"{EXTEND}.repeat", 0, "videos[0].chunks[1].extend.repeat", "at least 1"),
    (f"{EXTEND}.repeat", 99_999, "videos[0].chunks", "split"),
    (f"{EXTEND}.promt", "x", "videos[0].chunks[1].extend.promt", "`prompt`"),
    (f"{EXTEND}.prompt", None, "videos[0].chunks[1].extend.prompt", "say what"),
    ("videos.1.name", "dawn", "videos[1].name", "another name"),
    ("videos.1.name", "DAWN", "videos[1].name", "another name"),
    ("videos.1.source", {"video": "a", "latent": "b"}, "videos[1].source", "one file"),
    ("videos.1.source.video", "no.mp4", "videos[1].source.video", "existing"),
    ("videos.1.source", {"latent": "shot.mp4"}, "videos[1].source.latent", "another file"),
    (f"{SECOND}.overlap_frames", 128, "videos[1].chunks[0].extend.overlap_frames", "120 or less"),
    (f"{VIDEO}.audio", "generat", "videos[0].audio", "generate"),
    (f"{VIDEO}.audio", "generate", "videos[0].audio", "audio VAE"),
    (f"{VIDEO}.audio", {"mode": "mux"}, "videos[0].audio", "name the audio file"),
    (f"{VIDEO}.audio.file", "no.wav", "videos[0].audio.file", "existing"),
    (f"{VIDEO}.audio.mode", "loud", "videos[0].audio.mode", "write one"),
    ("matrix", {"sed": [1]}, "matrix.sed", "`seed`"),
    ("matrix", {"seed": [1, "x"]}, "matrix.seed[1]", "whole number"),
    ("matrix", {"seed": 3}, "matrix.seed", "list"),
    ("matrix", {"seed": []}, "matrix.seed", "at least 1"),
    ("matrix", {"width": [64, 65]}, "matrix.width[1]", "64 or 96"),
    ("matrix", {"seed": list(range(6000))}, "matrix", "split"),
    ("output.codec", "prores", "output.codec", "mkv or mov"),
    ("output.container", "avi", "output.container", "write one"),
    ("output.container", "png-sequence", "output.codec", "png"),
    ("output.dir", "score.wav", "output.dir", "another folder"),
    ("run.topology", "sample=x", "run.topology", "mono"),
    ("run.topology", "mono@0", "run.topology", "mono=N@0"),
    ("run.topology", "sample=" + "9" * 190, "run.topology", "lower"),
    ("run.topology", "sample=" + "9" * 390, "run.topology", "at most 200"),
    ("run.topology", "sample=1,upscale=1", "run.topology", "add `decode=1`"),
    ("run.topology", "sample=1,decode=1", "run.topology", "add `upscale=1`"),
    (f"{FIRST}.prompt", "a {colour} ball", "videos[0].chunks[0].generate.prompt", "without braces"),
    (f"{FIRST}.negative", "no {sed}", "videos[0].chunks[0].generate.negative", "without braces"),
    ("matrix", {"prompt": ["a ball", "a {kind}"]}, "matrix.prompt[1]", "without braces"),
    ("videos.1.source.last_frames", 129, "videos[1].source.last_frames", "write 113 or less"),
    ("run.threads", 0, "run.threads", "at least 1"),
    ("run.deadlines", {"sample": -1}, "run.deadlines.sample", "more than 0"),
    ("decode.context", 0, "decode.context", "at least 1"),
    ("decode.tiling", {"tile_latents": 4, "overlap_latents": 4}, "decode.tiling", "lower"),
    ("engine.name", "torch", "engine.name", "write one"),
    ("engine.checkpoint", "./no.safetensors", "engine.checkpoint", "existing"),
    ("engine.comfyui", "~/my ComfyUI", "engine.comfyui", "--comfyui '~/my ComfyUI'"),
    ("engine.comfyui", None, "engine.comfyui", "COMFYUI_PATH=FOLDER"),
    ("engine.allow_pickle", False, "engine.allow_pickle", "give no --allow-pickle"),
    ("engine.loras", [{"path": "lora.pt"}], "engine.loras[0].path", "--allow-pickle"),
    ("engine.loras", [{"strength": 1.0}], "engine.loras[0].path", "add `path`"),
    ("engine.allow_pickle", True, "engine.allow_pickle", "--allow-pickle"),
    ("engine.upscale_model", ..., "upscale", "leave out `upscale`"),
    ("videos", {}, "videos", "list"),
    ("videos", [], "videos", "at least 1 item"),
    ("version", 2, "version", "write 1"),
    ("defaults.steps", "20", "defaults.steps", "write 20 without quotes"),
    ("defaults.steps", "2.5", "defaults.steps", "a whole number"),
    ("defaults.cfg", "3.5", "defaults.cfg", "write 3.5 without quotes"),
    ("defaults.negative", 3, "defaults.negative", 'write "3", in quotes'),
    ("defaults.negative", True, "defaults.negative", 'write "true", in quotes'),
    ("videos", ["dawn"], "videos[0]", "mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "reported", "remedy"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_faulty_field_is_named_with_its_remedy(
    folder: Path, place: str, value: Any, reported: str, remedy: str
) -> None:
    found = problems(folder, changed(place, value))
    assert reported in [problem.place for problem in found], found
    problem = next(problem for problem in found if problem.place == reported)
    text = f"{problem.rule} {problem.remedy}"
    assert any(word in text for word in remedy.split("|")), problem
    assert all(part for part in (problem.value, problem.rule, problem.remedy))
    if place != "output.container":
        assert len(found) == 1, found


@pytest.mark.parametrize(
    ("guider", "parameter", "remedy"),
    [
        ({"name": "stg", "params": {"stg_scal": 1.0}}, "stg_scal", "did you mean `stg_scale`?"),
        ({"name": "cfg", "params": {"foo": 1}}, "foo", "remove `foo`"),
        ({"name": "stg", "params": {"rescale": "x"}}, "rescale", "write a number, for example 1.0"),
        ({"name": "stg", "params": {"blocks": [-1]}}, "blocks", "write for example `blocks: [14]`"),
        ({"name": "stg", "params": {"blocks": 1.5}}, "blocks", "write for example `blocks: [14]`"),
    ],
)
@pytest.mark.parametrize(
    ("place", "reported"),
    [("defaults", "defaults"), (FIRST, "videos[0].chunks[0].generate"), ("upscale", "upscale")],
)
def test_parameters_that_a_guider_does_not_take(
    folder: Path, place: str, reported: str, guider: Any, parameter: str, remedy: str
) -> None:
    (problem,) = problems(folder, changed(f"{place}.guider", guider))
    assert (problem.place, problem.remedy) == (f"{reported}.guider.params.{parameter}", remedy)


def test_parameters_that_a_guider_takes(folder: Path) -> None:
    params = {"stg_scale": 1, "rescale": 0.7, "blocks": [3, 4]}
    assert load(folder, changed("defaults.guider", {"name": "stg", "params": params}))


DIFFUSERS_FAULTS: list[tuple[str, Any, str]] = [
    ("defaults.sampler", "eular", "defaults.sampler"),
    ("defaults.guider", "pag", "defaults.guider"),
    ("engine.checkpoint", "nothing.safetensors", "engine.checkpoint"),
    ("videos.0.audio.mode", "condition", "videos[0].audio"),
]


@pytest.mark.parametrize(("place", "value", "reported"), DIFFUSERS_FAULTS)
def test_what_the_diffusers_engine_cannot_do(folder: Path, place: str, value: Any, reported: str) -> None:
    spec = changed(place, value)
    spec["engine"] = {"name": "diffusers", **({"checkpoint": value} if "checkpoint" in place else {})}
    spec.pop("upscale")
    assert [problem.place for problem in problems(folder, spec)] == [reported]


def test_a_guider_that_comfyui_does_not_have(folder: Path) -> None:
    spec = changed("defaults.guider", "pag")
    spec["engine"] = {"name": "comfyui", "audio_vae": "audio.safetensors"}
    (problem,) = problems(folder, spec)
    assert (problem.place, problem.rule) == ("defaults.guider", "the comfyui engine has cfg, stg")
    # Samplers differ between versions of ComfyUI: the one that is installed is asked.
    spec["defaults"] |= {"guider": "stg", "sampler": "a_later_one"}
    assert load(folder, spec).spec.defaults.sampler == "a_later_one"


@pytest.mark.parametrize("name", ["Lightricks/LTX-Video", "Lightricks/LTX-Video-0.9.7-dev"])
def test_a_hub_id_is_no_missing_file(folder: Path, name: str) -> None:
    spec = changed("engine", {"name": "diffusers", "checkpoint": name})
    spec.pop("upscale")
    assert load(folder, spec).spec.engine.checkpoint == name


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
    spec["videos"][0]["audio"]["file"] = "no.wav"
    spec["videos"][1]["name"] = "Dawn"
    spec["output"]["codec"] = "prores"
    assert [problem.place for problem in problems(folder, spec)] == [
        "engine.loras[0].path", "defaults.width", "videos[0].chunks[0].generate.num_frames",
        "videos[0].chunks[2]", "videos[0].audio.file", "videos[1].name", "output.codec",
    ]  # fmt: skip


def test_a_problem_names_its_line(folder: Path) -> None:
    text = "name: x\nvideos:\n  - name: a\n    chunks:\n      - generate: {prompt: p, num_frames: 98}\n"
    (problem,) = problems(folder, text)
    assert (problem.value, problem.line) == ("98", 5)
    assert "98 (line 5)" in str(problem)


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
    spec = changed("videos.0.audio.file", "/cluster/score.wav")
    assert load(folder, spec, check_files=False).spec.videos[0].audio is not None


def test_a_source_that_is_no_video_is_named(folder: Path) -> None:
    def probe(path: str) -> VideoFact:
        raise InvalidInput(f"{path} holds no video; name a file that does")

    (problem,) = problems(folder, SPEC, probes=Probes(probe))
    assert problem.place == "videos[1].source.video"


def test_a_long_reason_is_not_cut_in_a_word(folder: Path) -> None:
    def probe(path: str) -> VideoFact:
        raise InvalidInput("words " * 100)

    (problem,) = problems(folder, SPEC, probes=Probes(probe))
    assert problem.value.endswith("words words ...")


@pytest.mark.parametrize("written", ["007", "true"])
def test_text_on_the_command_line_is_quoted_for_the_shell(folder: Path, written: str) -> None:
    (problem,) = problems(folder, SPEC, f"name={written}")
    assert problem.remedy == f"write -p 'name=\"{written}\"'"


def test_a_source_shorter_than_nine_frames_is_named(folder: Path) -> None:
    (problem,) = problems(folder, SPEC, probes=Probes(lambda path: VideoFact(8, 640, 480, 25.0)))
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
        "import sys, time; start = time.perf_counter();"
        "import jobs.loading.load, jobs.planning.plan, jobs.tasks.graph;"
        "heavy = {'torch', 'ray', 'numpy', 'diffusers', 'fsspec'} & set(sys.modules);"
        "print(sorted(heavy), time.perf_counter() - start < 2.0)"
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

    def probe(path: str, seconds: float = 0.0) -> object:
        seen.append(path)
        raise InvalidInput(f"{Path(path).name} is something else; name another\nand more")

    found = problems(folder, SPEC, probes=Probes(lambda path: VideoFact(120, 640, 480, 25.0), probe, probe))
    named = {problem.place.rpartition(".")[2] for problem in found}
    assert {"first_image", "file"} <= named
    assert all(problem.rule.startswith(("an image", "a file with sound")) for problem in found)
    assert len(seen) == len(set(seen)), "each file is looked into once"


@pytest.mark.parametrize("text", ["1e3", "0o17", "+1.", "12:30", "off", "1_000", "a: b", "\x85\u2028", "- x"])
def test_text_that_looks_like_something_else_is_stored_as_text(folder: Path, text: str) -> None:
    (folder / "spec.json").write_text(json.dumps(changed(f"{FIRST}.prompt", text)))
    probes = Probes(lambda path: VideoFact(120, 640, 480, 25.0))
    loaded = load_spec(folder / "spec.json", probes=probes)
    assert load_spec(parse_yaml(loaded.text).data, probes=probes) == loaded


def test_no_more_than_a_hundred_problems_are_listed(folder: Path) -> None:
    found = problems(folder, {**SPEC, **{f"prompt{number}": 1 for number in range(20_000)}})
    assert len(found) == 101
    assert found[-1].place == "the spec" and "check again" in found[-1].remedy


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

"""What every mistake in a spec is called, and what the cure is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.spec_files import FIRST, changed, load, problems

VIDEO = "videos.0"
IMAGES = "videos[0].chunks[0].generate.images"


EXTEND = "videos.0.chunks.1.extend"


SECOND = "videos.1.chunks.0.extend"


FAULTS: list[tuple[str, Any, str, str]] = [
    (f"{FIRST}.first_image", "y" * 300, "videos[0].chunks[0].generate.first_image", "existing"),
    (f"{FIRST}.first_image", "~no-such-user/x.png", "videos[0].chunks[0].generate.first_image", "in full"),
    ("engine.checkpoint", "./" + "z" * 400, "engine.checkpoint", "existing"),
    ("output.dir", "a\0b", "output.dir", "relative"),
    ("version", 0, "version", "write one of these"),
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
    (f"{VIDEO}.chunks", ..., "videos[0]", "add `shots: [{name, seconds, prompt}]`"),
    (f"{VIDEO}.chunks.2", {}, "videos[0].chunks[2]", "`- generate: {prompt: ...}`"),
    (f"{VIDEO}.chunks.2", "noon", "videos[0].chunks[2]", "mapping"),
    (f"{FIRST}.num_frames", 98, "videos[0].chunks[0].generate.num_frames", "97 or 105"),
    (f"{FIRST}.num_frames", 1, "videos[0].chunks[0].generate.num_frames", "write 9"),
    (f"{FIRST}.num_frames", 10**9, "videos[0].chunks[0].generate.num_frames", "write 8193"),
    (f"{FIRST}.width", 64, "videos[0].chunks[0].generate.width", "defaults or videos"),
    (f"{FIRST}.images", [{"image": "no.png", "frame": 8}], f"{IMAGES}[0].image", "existing"),
    (f"{FIRST}.images", [{"image": "dawn.png", "frame": 97}], f"{IMAGES}[0].frame", "write -1"),
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
    (f"{VIDEO}.audio", "generate", "videos[0].audio", "write `sound: [{generate: true}]`, as `farm migrate`"),
    (f"{VIDEO}.audio", {"file": "a.wav"}, "videos[0].audio", "write `sound: [{file: ...}]`, as"),
    (f"{VIDEO}.sound", "generate", "videos[0].sound", "`sound: [{generate: true}]`"),
    (f"{VIDEO}.sound", {"file": "score.wav"}, "videos[0].sound", "in brackets"),
    (f"{VIDEO}.sound.0", {"generate": True}, "videos[0].sound[0]", "audio VAE"),
    (f"{VIDEO}.sound.0", {"mode": "mux"}, "videos[0].sound[0]", "keep one"),
    (f"{VIDEO}.sound.0", {"generate": True, "at": 1.0}, "videos[0].sound[0]", "`shot` says which"),
    (f"{VIDEO}.sound.0.file", "no.wav", "videos[0].sound[0].file", "existing"),
    (f"{VIDEO}.sound.0.mode", "loud", "videos[0].sound[0].mode", "write one"),
    (f"{VIDEO}.sound.0.pan", -1.5, "videos[0].sound[0].pan", "at least -1"),
    (f"{VIDEO}.sound.0.duck", True, "videos[0].sound[0].duck", "add a track"),
    (f"{VIDEO}.sound.0.duck", {"by_d": 3}, "videos[0].sound[0].duck.by_d", "`by_db`"),
    (f"{VIDEO}.sound.0.gain", -3, "videos[0].sound[0].gain", "`gain_db`"),
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
    ("run.topology", "mono=1x17", "run.topology", "lower the number behind x"),
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
    ("version", 4, "version", "the farm that wrote it"),
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
]


@pytest.mark.parametrize(("place", "value", "reported"), DIFFUSERS_FAULTS)
def test_what_the_diffusers_engine_cannot_do(folder: Path, place: str, value: Any, reported: str) -> None:
    spec = changed(place, value)
    spec["engine"] = {"name": "diffusers", **({"checkpoint": value} if "checkpoint" in place else {})}
    spec.pop("upscale")
    assert [problem.place for problem in problems(folder, spec)] == [reported]


def test_comfyui_rounds_no_model_to_fp8(folder: Path) -> None:
    spec = changed("engine", {"name": "comfyui", "dtype": "fp8"})
    (problem,) = problems(folder, spec)
    assert (problem.place, problem.value) == ("engine.dtype", "fp8")
    assert "fp8 file" in problem.remedy


def test_a_guider_that_comfyui_does_not_have(folder: Path) -> None:
    spec = changed("defaults.guider", "pag")
    spec["engine"] = {"name": "comfyui", "audio_vae": "audio.safetensors"}
    (problem,) = problems(folder, spec)
    assert (problem.place, problem.rule) == ("defaults.guider", "the comfyui engine has cfg, stg")
    # Samplers differ between versions of ComfyUI: the one that is installed is asked.
    spec["defaults"] |= {"guider": "stg", "sampler": "a_later_one"}
    assert load(folder, spec).spec.defaults.sampler == "a_later_one"
    # Which parameters a guider has there depends on its version and on the model.
    spec["defaults"]["guider"] = {"name": "stg", "params": {"modality": 3.0, "audio_cfg": 7}}
    assert load(folder, spec)
    spec["defaults"]["guider"]["params"]["levels"] = [1.0]
    (problem,) = problems(folder, spec)
    assert problem.place == "defaults.guider.params.levels"


def test_a_model_of_comfyui_has_its_audio_vae_named_and_the_bundled_one_has_it(folder: Path) -> None:
    spec = changed("videos.0.sound", [{"generate": True}])
    spec["engine"] = {"name": "comfyui"}
    assert load(folder, spec)
    spec["engine"]["checkpoint"] = "ltx-2.safetensors"
    assert [problem.place for problem in problems(folder, spec)] == ["upscale", "videos[0].sound[0]"]


@pytest.mark.parametrize("name", ["Lightricks/LTX-Video", "Lightricks/LTX-Video-0.9.7-dev"])
def test_a_hub_id_is_no_missing_file(folder: Path, name: str) -> None:
    spec = changed("engine", {"name": "diffusers", "checkpoint": name})
    spec.pop("upscale")
    assert load(folder, spec).spec.engine.checkpoint == name

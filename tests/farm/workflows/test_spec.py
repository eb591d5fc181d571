"""Workflows to job specs, without ComfyUI."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from farm.workflows.gaps import Effect
from farm.workflows.spec import Imported, import_workflow
from jobs.errors import UsageError
from jobs.loading.load import load_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "comfyui" / "long_take_api.json"

LOOSE = '{"3": {"class_type": "RSLTXVExtend", "inputs": {"latent": ["9", 0]}}}'

TEXT = {"name": "take", "chunks": [{"generate": {"seed": 1}}]}

Workflow = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def split_files() -> Workflow:
    """A long take of an LTX-Video model in parts, with LoRAs, pictures and texts in nodes of their own."""
    models = {"model": ["12", 0], "vae": ["14", 0], "positive": ["15", 0], "negative": ["15", 1]}
    numbers = {"steps": 8, "cfg": 3.5, "frame_rate": 24.0}
    overlap = {"num_new_frames": 40, "overlap_frames": 24, "overlap_strength": 0.9}
    return {
        "10": node("UNETLoader", unet_name="ltx\\transformer.safetensors", weight_dtype="default"),
        "11": node("LoraLoaderModelOnly", model=["10", 0], lora_name="near.safetensors", strength_model=0.5),
        "12": node("LoraLoaderModelOnly", model=["11", 0], lora_name="far.safetensors", strength_model=1.0),
        "13": node("CLIPLoader", clip_name="t5xxl.safetensors", type="ltxv", device="default"),
        "14": node("VAELoader", vae_name="vae.safetensors"),
        "15": node("LTXVConditioning", positive=["16", 0], negative=["17", 0], frame_rate=25.0),
        "16": node("CLIPTextEncode", clip=["13", 0], text=["18", 0]),
        "17": node("CLIPTextEncode", clip=["13", 0], text="blurry"),
        "18": node("PrimitiveStringMultiline", value="a pier at dawn"),
        "19": node("LoadImage", image="first.png"),
        "20": node("LoadImage", image="clips/last.png [output]"),
        "21": node("KSamplerSelect", sampler_name="euler"),
        "22": node("ManualSigmas", sigmas="1., 0.9, 0.5, 0.0"),
        "30": node(
            "RSLTXVGenerate", **models, **numbers, width=256, height=128, num_frames=49, seed=["40", 0],
            first_image=["19", 0], sampler=["21", 0], sigmas=["22", 0], crf=0,
        ),
        "31": node("RSLTXVExtend", **models, **numbers, **overlap, latent=["30", 0], seed=2),
        "32": node(
            "RSLTXVExtend", **models, **numbers, **overlap, latent=["31", 0], seed=3, last_image=["20", 0]
        ),
        "33": node("VAEDecode", samples=["32", 0], vae=["14", 0]),
        "34": node("SaveAnimatedWEBP", images=["33", 0], filename_prefix="take", fps=24.0),
        "40": node("PrimitiveInt", value=7),
    }  # fmt: skip


def made(workflow: Workflow, folder: Path, comfyui: str | None = None) -> Imported:
    path = folder / "take.json"
    path.write_text(json.dumps(workflow))
    return import_workflow(path, "take", comfyui)


def places(made: Imported, effect: Effect = Effect.FILM) -> list[str]:
    return [gap.place for gap in made.gaps if gap.effect is effect]


def test_the_example_is_the_bundled_models_long_take(tmp_path: Path) -> None:
    found = import_workflow(EXAMPLE, "take")
    assert (found.whole, found.gaps) == (True, ())
    assert found.spec["engine"] == {"name": "comfyui"}
    spec = load_spec({**found.spec, "output": {"dir": str(tmp_path)}}).spec
    assert [chunk.settings.seed for chunk in spec.videos[0].chunks] == [7, 8, 9]
    assert (spec.defaults.width, spec.defaults.steps) == (128, 16)
    assert spec.defaults.prompt == "a red ball bounces over a teal background"


def test_loaders_pictures_and_numbers_are_followed(tmp_path: Path) -> None:
    found = made(split_files(), tmp_path, "/opt/ComfyUI")
    assert places(found) == []
    assert places(found, Effect.BITS) == ["30.first_image", "32.last_image"]
    assert found.spec["engine"] == {
        "name": "comfyui",
        "diffusion_model": "ltx/transformer.safetensors",
        "loras": [
            {"path": "near.safetensors", "strength": 0.5},
            {"path": "far.safetensors", "strength": 1.0},
        ],
        "vae": "vae.safetensors",
        "text_encoder": "t5xxl.safetensors",
    }
    assert found.spec["defaults"] == {
        "width": 256,
        "height": 128,
        "frame_rate": 24.0,
        "prompt": "a pier at dawn",
        "negative": "blurry",
        "steps": 8,
        "cfg": 3.5,
        "num_new_frames": 40,
        "overlap_frames": 24,
        "overlap_strength": 0.9,
        "num_frames": 49,
    }
    (film,) = found.spec["videos"]
    first, second, third = (settings for chunk in film["chunks"] for settings in chunk.values())
    assert first["first_image"] == "/opt/ComfyUI/input/first.png"
    assert third["last_image"] == "/opt/ComfyUI/output/clips/last.png"
    assert (first["sampler"], first["sigmas"], first["crf"]) == ("euler", [1.0, 0.9, 0.5, 0.0], 0)
    assert "sampler" not in second
    assert [settings["seed"] for settings in (first, second, third)] == [7, 2, 3]


def test_ltx_2_with_its_sound(tmp_path: Path) -> None:
    workflow = split_files()
    workflow |= {
        "10": node("CheckpointLoaderSimple", ckpt_name="ltx-2.safetensors"),
        "13": node(
            "LTXAVTextEncoderLoader", text_encoder="gemma.safetensors", ckpt_name="ltx-2.safetensors",
            device="default",
        ),
        "14": node("CheckpointLoaderSimple", ckpt_name="ltx-2.safetensors"),
        "50": node("LTXVAudioVAELoader", ckpt_name="ltx-2.safetensors"),
        "51": node("LTXVConcatAVLatent", video_latent=["30", 0], audio_latent=["30", 2]),
    }  # fmt: skip
    for key in ("15", "16", "17", "30", "31", "32"):
        for name, value in workflow[key]["inputs"].items():
            if value == ["14", 0]:
                workflow[key]["inputs"][name] = ["14", 2]
    for key in ("30", "31", "32"):
        workflow[key]["inputs"]["audio_vae"] = ["50", 0]
    workflow["31"]["inputs"]["latent"] = ["51", 0]
    found = made(workflow, tmp_path)
    assert places(found) == []
    assert found.spec["videos"][0]["sound"] == [{"generate": True}]
    engine = found.spec["engine"]
    assert (engine["checkpoint"], engine["audio_vae"]) == ("ltx-2.safetensors", "ltx-2.safetensors")
    assert engine["text_encoder"] == "gemma.safetensors"
    assert "vae" not in engine
    # Without the sound in front of it an Extend goes on in silence.
    workflow["31"]["inputs"]["latent"] = ["30", 0]
    assert places(made(workflow, tmp_path)) == ["31.latent", "32.latent"]


def test_a_soundtrack_is_one_file_for_all(tmp_path: Path) -> None:
    workflow = split_files()
    workflow |= {
        "50": node("LTXVAudioVAELoader", ckpt_name="ltx-2.safetensors"),
        "52": node("LoadAudio", audio="score.wav"),
    }
    for key in ("30", "31", "32"):
        workflow[key]["inputs"] |= {"audio_vae": ["50", 0], "audio": ["52", 0]}
    found = made(workflow, tmp_path)
    assert places(found) == []
    assert found.spec["videos"][0]["sound"] == [{"file": "input/score.wav", "mode": "condition"}]
    del workflow["31"]["inputs"]["audio"]
    assert places(made(workflow, tmp_path)) == ["31.audio"]


def test_two_ends_are_two_films_and_a_saved_latent_a_source(tmp_path: Path) -> None:
    workflow = split_files()
    workflow["32"]["inputs"]["latent"] = ["30", 0]
    found = made(workflow, tmp_path)
    names = {film["name"]: len(film["chunks"]) for film in found.spec["videos"]}
    assert names == {"take-31": 2, "take-32": 2}
    assert "&id" not in found.text
    workflow["50"] = node("LoadLatent", latent="before.latent")
    workflow["31"]["inputs"]["latent"] = ["50", 0]
    found = made(workflow, tmp_path)
    film = next(film for film in found.spec["videos"] if film["name"] == "take-31")
    assert film["source"] == {"latent": "input/before.latent"}


def test_an_external_cfg_guider_brings_model_prompts_and_scale(tmp_path: Path) -> None:
    workflow = split_files()
    guider = {"model": ["11", 0], "positive": ["17", 0], "negative": ["16", 0], "cfg": 6.0}
    workflow["50"] = node("CFGGuider", **guider)
    for key in ("30", "31", "32"):
        workflow[key]["inputs"]["guider"] = ["50", 0]
    found = made(workflow, tmp_path)
    assert places(found) == []
    assert found.spec["defaults"]["cfg"] == 6.0
    assert found.spec["defaults"]["prompt"] == "blurry"
    assert len(found.spec["engine"]["loras"]) == 1


def test_guiders_of_ltx_2_are_parameters(tmp_path: Path) -> None:
    workflow = split_files()
    whole = {"start_percent": 0.0, "end_percent": 1.0}
    workflow["50"] = node("LTXVSpatioTemporalGuidance", model=["12", 0], scale=1.5, blocks="3, 11", **whole)
    workflow["51"] = node("LTXVModalityGuidance", model=["50", 0], modality_scale=3.0, **whole)
    prompts = {"positive": ["15", 0], "negative": ["15", 1]}
    workflow["52"] = node("LTXVDualCFGGuider", model=["51", 0], **prompts, video_cfg=3.0, audio_cfg=7.0)
    for key in ("30", "31", "32"):
        workflow[key]["inputs"]["guider"] = ["52", 0]
    found = made(workflow, tmp_path)
    assert places(found) == []
    params = {"stg_scale": 1.5, "blocks": [3, 11], "rescale": 0.0, "modality": 3.0, "audio_cfg": 7.0}
    assert found.spec["defaults"]["guider"] == {"name": "stg", "params": params}
    assert (
        load_spec({**found.spec, "output": {"dir": str(tmp_path)}, "videos": [TEXT]}).spec.defaults.cfg == 3.0
    )
    workflow["51"]["inputs"]["end_percent"] = 0.5
    assert places(made(workflow, tmp_path)) == ["51.end_percent"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"50": node("LTXVScheduler", steps=4), "30": {"sigmas": ["50", 0]}}, "30.sigmas"),
        ({"50": node("SamplerEulerAncestral", eta=1.0), "30": {"sampler": ["50", 0]}}, "30.sampler"),
        ({"50": node("STGGuider", cfg=1.0), "30": {"guider": ["50", 0]}}, "30.guider"),
        ({"50": node("ImageScale", image=["19", 0]), "30": {"first_image": ["50", 0]}}, "30.first_image"),
        ({"50": node("ConditioningZeroOut"), "15": {"negative": ["50", 0]}}, "30.negative"),
        ({"50": node("PatchSage", model=["12", 0]), "30": {"model": ["50", 0]}}, "30.model"),
        ({"31": {"model": ["11", 0]}}, "31.model"),
        ({"31": {"vae": ["50", 2]}, "50": node("CheckpointLoaderSimple", ckpt_name="x")}, "31"),
        ({"10": {"weight_dtype": "fp8_e4m3fn"}}, "10.weight_dtype"),
        ({"13": {"type": "sd3"}}, "13.type"),
        ({"13": node("CheckpointLoaderSimple", ckpt_name="x"), "16": {"clip": ["13", 1]}}, "30.clip"),
        ({"31": {"frame_rate": 30.0}}, "31.frame_rate"),
        ({"31": {"seed": 2**63}}, "31.seed"),
        ({"31": {"steps": ["50", 0]}, "50": node("MathExpression", expression="a")}, "31.steps"),
        ({"18": {"value": ""}}, "30.positive"),
        ({"31": {"vae": None}}, "31.vae"),
        ({"30": {"upscale": True, "upscale_model": ["50", 0]}, "50": node("Other")}, "30.upscale"),
        ({"30": node("VAEEncode", pixels=["19", 0])}, "31.latent"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(change: Workflow, place: str, tmp_path: Path) -> None:
    workflow = copy.deepcopy(split_files())
    for key, entry in change.items():
        if "class_type" in entry:
            workflow[key] = entry
        else:
            workflow[key]["inputs"] |= entry
    found = made(workflow, tmp_path)
    assert place in places(found)
    assert not found.whole
    assert all(gap.reason and gap.value for gap in found.gaps)


def test_a_last_node_that_upscales_makes_a_second_pass(tmp_path: Path) -> None:
    workflow = split_files()
    workflow["50"] = node("LatentUpscaleModelLoader", model_name="x2.safetensors")
    second = {"upscale": True, "upscale_model": ["50", 0], "upscale_steps": 4, "upscale_denoise": 0.3}
    workflow["32"]["inputs"] |= second
    found = made(workflow, tmp_path)
    assert places(found) == ["32.upscale"]
    assert found.spec["engine"]["upscale_model"] == "x2.safetensors"
    wanted = {
        "steps": 4,
        "cfg": 3.0,
        "denoise": 0.3,
        "joint": "overlap",
        "max_shift": 2.05,
        "base_shift": 0.95,
    }
    assert found.spec["upscale"] == wanted


def test_other_nodes_are_left_out_without_an_effect(tmp_path: Path) -> None:
    workflow = split_files()
    workflow["60"] = node("ImageUpscaleWithModel", image=["33", 0])
    found = made(workflow, tmp_path)
    assert places(found, Effect.NONE) == ["60"]
    assert found.whole


@pytest.mark.parametrize(
    ("text", "value", "remedy"),
    [
        ('{"nodes": [], "links": []}', "the format in which ComfyUI's editor saves", "Export (API)"),
        ("[1, 2]", "no JSON object", "Export (API)"),
        ('{"3": {"inputs": {}}}', "a mapping of 1 key", "Export (API)"),
        ('{"3": 4}', "4", "Export (API)"),
        ("{}", "no nodes", "farm init"),
        ('{"3": {"class_type": "KSampler", "inputs": {}}}', "KSampler", "farm init"),
        (LOOSE, 'node "9"', "Export (API)"),
        (LOOSE.replace("9", "3"), "a circle of nodes: 3 -> 3", "Export (API)"),
    ],
)  # fmt: skip
def test_files_that_are_no_such_workflow(text: str, value: str, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        import_workflow(path, "film")
    (problem,) = refused.value.problems
    assert problem.value == value
    assert remedy in problem.remedy


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the path of the workflow"):
        import_workflow(tmp_path / "nowhere.json", "film")

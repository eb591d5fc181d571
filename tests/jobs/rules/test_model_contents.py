"""Model files that cannot be used are refused by the check, with what to do instead."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest

from actors.models import TINY_CHECKPOINT
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes
from jobs.weights.header import read_weights
from tests.official.files import (
    RELEASES,
    Entries,
    config_of,
    single_file,
    transformer_shapes,
    upsampler_shapes,
    vae_shapes,
    write_release,
    write_sparse,
)
from tests.official.ltx2_files import VERSIONS, write_single_file
from tests.official.pixel_vae import write_pixel_vae

NAME = "ltxv-2b-0.9.8-distilled.safetensors"
ENCODER = {"text_encoder": "owner/t5"}


def check(engine: dict[str, Any], **more: Any) -> str:
    """What the check of a spec says of its engine section; empty where it is accepted."""
    spec = {
        "name": "x",
        "engine": engine,
        "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p"}}]}],
    }
    try:
        load_spec({**spec, **more}, probes=Probes(bundled=TINY_CHECKPOINT))
    except SpecError as error:
        return str(error)
    return ""


def entries(prefix: str, shapes: dict[str, tuple[int, ...]], dtype: str = "BF16") -> Entries:
    return {prefix + name: (dtype, shape) for name, shape in shapes.items()}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file of each sort, by what it is."""
    parts: dict[str, Entries] = {
        "transformer": entries("", transformer_shapes("2b-causal")),
        "vae": entries("", vae_shapes("0.9.5")),
        "spatial": entries("", upsampler_shapes("spatial")),
        "temporal": entries("", upsampler_shapes("temporal")),
        "lora": {f"diffusion_model.proj_out.lora_{ab}.weight": ("BF16", shape) for ab, shape in LORA.items()},
        "other lora": {f"unet.mid.lora_{ab}.weight": ("BF16", shape) for ab, shape in LORA.items()},
        "something": {"model.weight": ("F32", (1,))},
    }
    made = {what: write_sparse(tmp_path / f"{what}.safetensors", part) for what, part in parts.items()}
    return {what: str(path) for what, path in {**made, "whole": write_release(tmp_path, NAME)}.items()}


LORA = {"A": (4, 2048), "B": (128, 4)}


@pytest.mark.parametrize("engine", ["diffusers", "comfyui"])
def test_what_is_accepted(engine: str, files: dict[str, str]) -> None:
    text = {"text_encoder": "owner/t5" if engine == "diffusers" else "t5.safetensors"}
    whole = {"name": engine, "checkpoint": files["whole"], **text}
    assert check(whole) == ""
    assert check({**whole, "loras": [{"path": files["lora"]}]}) == ""
    assert check({**whole, "upscale_model": files["spatial"]}, upscale={}) == ""
    parts = {"name": engine, "diffusion_model": files["transformer"], "vae": files["vae"], **text}
    assert check(parts) == ""


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"checkpoint": "vae"}, r"engine.checkpoint[\s\S]*holds a video VAE[\s\S]*engine.vae"),
        ({"checkpoint": "lora"}, r"holds a LoRA[\s\S]*list it under `engine.loras`"),
        ({"checkpoint": "spatial"}, r"holds a latent upsampler[\s\S]*engine.upscale_model"),
        ({"checkpoint": "something"}, r"holds no LTX-Video transformer"),
        ({"checkpoint": "transformer"}, r"engine.vae: not given[\s\S]*name the VAE of the same release"),
        ({"checkpoint": "whole", "vae": "transformer"}, r"engine.vae[\s\S]*holds an LTX transformer"),
        ({"checkpoint": "whole", "upscale_model": "temporal"}, r"`upscale` makes frames larger"),
        (
            {"checkpoint": "whole", "upscale_model": "whole"},
            r"engine.upscale_model[\s\S]*not a latent upsampler",
        ),
        ({"checkpoint": "whole", "loras": ["other lora"]}, r"loras\[0\].path[\s\S]*none of its 2 keys"),
        ({"loras": ["lora"]}, r"loras\[0\].path[\s\S]*is for a weight of \[128, 2048\]"),
        ({"checkpoint": "whole", "text_encoder": None}, r"engine.text_encoder: not given[\s\S]*tokenizer"),
    ],
)
def test_what_is_refused(engine: dict[str, Any], said: str, files: dict[str, str]) -> None:
    named: dict[str, Any] = {field: files.get(str(value)) for field, value in engine.items()}
    if "loras" in engine:
        named["loras"] = [{"path": files[what]} for what in engine["loras"]]
    problem = check({**ENCODER, **named})
    assert re.search(said, problem), problem


@pytest.mark.parametrize(
    ("quantised", "named"),
    [
        ({"dtype": "U8", "scale": ".weight_scale_2"}, "nvfp4"),
        ({"dtype": "I8", "scale": ".weight_scale"}, "int8"),
    ],
)
def test_number_types_of_another_engine(quantised: dict[str, str], named: str, tmp_path: Path) -> None:
    whole = single_file(RELEASES[NAME])
    for key in [key for key in whole if key.endswith(".to_q.weight")]:
        whole[key] = (quantised["dtype"], whole[key][1])
        whole[key.removesuffix(".weight") + quantised["scale"]] = ("F32", ())
    path = write_sparse(tmp_path / "q.safetensors", whole, config_of(RELEASES[NAME]))
    assert f"does not read {named} weights" in check({"checkpoint": str(path), **ENCODER})
    assert check({"name": "comfyui", "checkpoint": str(path), "text_encoder": "t5.safetensors"}) == ""


@pytest.mark.parametrize("engine", ["diffusers", "comfyui"])
def test_weights_that_no_engine_reads(engine: str, tmp_path: Path) -> None:
    """Core passes over the scales, and would compute with weights that mean something else."""
    whole = single_file(RELEASES[NAME], "F8_E4M3")
    whole["model.diffusion_model.transformer_blocks.0.attn1.to_q.scales"] = ("F32", (2048,))
    path = write_sparse(tmp_path / "q.safetensors", whole, config_of(RELEASES[NAME]))
    found = check({"name": engine, "checkpoint": str(path), "text_encoder": "owner/t5"})
    assert "read by no engine here" in found


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2"])
def test_fp8_is_read(dtype: str, tmp_path: Path) -> None:
    path = write_sparse(tmp_path / "fp8.safetensors", single_file(RELEASES[NAME], dtype))
    assert check({"checkpoint": str(path), **ENCODER}) == ""


@pytest.mark.parametrize("mode", ["generate", "mux"])
def test_sound_needs_a_model_that_makes_it(mode: str, tmp_path: Path) -> None:
    """LTX-2 does, as the bundled model; LTX-Video can only be given a track."""
    audio = {"file": str(_tone(tmp_path))} if mode == "mux" else {"generate": True}
    videos = [{"name": "a", "sound": [audio], "chunks": [{"generate": {"prompt": "a red ball"}}]}]
    silent = write_release(tmp_path, NAME)
    refused = "makes no sound" if mode == "generate" else ""
    found = check({"checkpoint": str(silent), **ENCODER}, videos=videos)
    assert refused in found
    assert bool(found) == bool(refused)
    assert check({}, videos=videos) == ""
    for version in VERSIONS:
        path = write_single_file(tmp_path / f"{version}.safetensors", version)
        assert check({"checkpoint": str(path), "text_encoder": "owner/gemma"}, videos=videos) == ""


def _tone(folder: Path) -> Path:
    path = folder / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 16000 * 6)
    return path


def test_folders_and_gguf_are_not_for_comfyui(tmp_path: Path) -> None:
    comfyui = {"name": "comfyui", "text_encoder": "t5.safetensors"}
    (tmp_path / "transformer").mkdir()
    write_release(tmp_path / "transformer", NAME)
    assert "not folders of diffusers" in check({**comfyui, "checkpoint": str(tmp_path)})
    (tmp_path / "m.gguf").write_bytes(b"GGUF\3\0\0\0" + bytes(16))
    assert "does not read GGUF" in check({**comfyui, "diffusion_model": str(tmp_path / "m.gguf")})


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    index = {"weight_map": {"proj_in.weight": "model-00001-of-00002.safetensors"}}
    folder = tmp_path / "transformer"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = check({"checkpoint": str(tmp_path), **ENCODER})
    assert "lists model-00001-of-00002.safetensors, which is not there" in found


def test_a_damaged_file(tmp_path: Path) -> None:
    path = write_release(tmp_path, NAME)
    with path.open("r+b") as file:
        file.truncate(10_000_000)
    assert "not copied whole" in check({"checkpoint": str(path), **ENCODER})
    for content in (b"", b"GGUF", b"GGUF" + b"\3\0\0\0" + b"\xff" * 64):
        (tmp_path / "m.gguf").write_bytes(content)
        assert "GGUF file" in check({"checkpoint": str(tmp_path / "m.gguf"), **ENCODER})


def test_no_torch_is_needed(files: dict[str, str]) -> None:
    lines = (
        "import sys",
        "from pathlib import Path",
        "from jobs.weights.describe import describe",
        f"describe(Path({files['whole']!r}))",
        "sys.exit('torch' in sys.modules)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == 0


def test_a_header_is_read_once(files: dict[str, str]) -> None:
    assert read_weights(Path(files["whole"])) is read_weights(Path(files["whole"]))


def test_decode_settings_that_a_diffusion_decoder_does_not_know(tmp_path: Path) -> None:
    model = write_single_file(tmp_path / "ltx-2.5.safetensors", "2.5")
    vae = write_sparse(tmp_path / "vae.safetensors", {"decoder.conv_in_x_t.weight": ("BF16", (256, 48))})
    files = {"diffusion_model": str(model), "vae": str(vae), "text_encoder": "gemma", "upscale_model": "x2"}
    engine = {"name": "comfyui", **files}
    assert check(engine) == ""
    settings = (
        {"decode": {"timestep": 0.1}},
        {"decode": {"noise_scale": 0.1}},
        {"upscale": {"tone_map": 0.6}},
    )
    for more in settings:
        said = check(engine, **more)
        assert "the diffusion decoder of vae.safetensors knows no timestep, noise scale or tone map" in said


def test_a_diffusion_decoder_is_read_by_both_engines(tmp_path: Path) -> None:
    model = write_single_file(tmp_path / "ltx-2.5.safetensors", "2.5")
    vae = write_pixel_vae(tmp_path / "ltx-2.5-video-vae.safetensors")
    for name in ("diffusers", "comfyui"):
        files = {"checkpoint" if name == "diffusers" else "diffusion_model": str(model), "vae": str(vae)}
        assert check({"name": name, "text_encoder": "owner/gemma", **files}) == ""
    assert "holds a video VAE, not an LTX transformer" in check({"checkpoint": str(vae), **ENCODER})


def test_a_diffusion_decoder_of_another_family(files: dict[str, str], tmp_path: Path) -> None:
    vae = write_pixel_vae(tmp_path / "ltx-2.5-video-vae.safetensors")
    said = check({"diffusion_model": files["transformer"], "vae": str(vae), **ENCODER})
    assert "a diffusion decoder shows latents of LTX-2" in said
    assert "name the VAE of the same release" in said


def test_a_diffusion_decoder_without_an_encoder(tmp_path: Path) -> None:
    """As diffusers saves it."""
    model = write_single_file(tmp_path / "ltx-2.5.safetensors", "2.5")
    folder = tmp_path / "diffusion_decoder"
    folder.mkdir()
    write_sparse(folder / "model.safetensors", {"decoder.conv_in_x_t.weight": ("BF16", (256, 48))})
    (folder / "config.json").write_text(json.dumps({"_class_name": "LTX2VideoDiffusionDecoderModel"}))
    engine = {"checkpoint": str(model), "vae": str(folder), "text_encoder": "owner/gemma"}
    said = check(engine)
    assert "a diffusion decoder as diffusers saves it, with the repository's `vae` folder beside it" in said
    assert "keep the repository's folders together" in said
    (tmp_path / "vae").mkdir()
    assert check(engine) == ""
    assert "knows no timestep, noise scale or tone map" in check(engine, decode={"timestep": 0.1})

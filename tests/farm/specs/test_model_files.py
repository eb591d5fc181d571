"""Model files: found as ComfyUI finds them, and told apart by their headers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from farm.doctor.device import check_known
from farm.estimates.durations import Durations, Hardware
from farm.estimates.model_size import LARGE, SMALL, WITH_SOUND, model_like, ratios
from farm.models.comfy_folders import find_model
from farm.topology.memory import engine_footprint
from farm.topology.model_sizes import unknown_sizes
from jobs.spec.engine import Code, EngineConfig, Lora
from jobs.tasks.task import Stage
from tests.farm.estimates.test_durations import sample

PREFIX = "model.diffusion_model."


def write_model(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """A sparse file with these shapes, a byte an element."""
    header, stop = {}, 0
    for name, shape in tensors.items():
        start, stop = stop, stop + shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [start, stop]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + stop)
    return path


def comfyui(root: Path, **models: Any) -> EngineConfig:
    return EngineConfig(name="comfyui", **models).with_code(Code(str(root)))


@pytest.fixture(autouse=True)
def no_comfyui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)


def test_names_are_looked_up_in_the_folders_of_comfyui(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ComfyUI"
    places = {
        ("checkpoint", "a.safetensors"): root / "models" / "checkpoints",
        ("diffusion_model", "sub/b.safetensors"): root / "models" / "unet",
        ("text_encoder", "c.safetensors"): tmp_path / "shared" / "clip",
        ("loras", "d.safetensors"): tmp_path / "shared" / "loras",
    }
    for (_, name), folder in places.items():
        write_model(folder / name, {"x": (1,)})
    (root / "extra_model_paths.yaml").write_text(
        "ours:\n  base_path: ../shared\n  clip: clip\n  loras: |\n    none\n    loras\nempty:\n"
    )
    for (field, name), folder in places.items():
        found = find_model(comfyui(root), field, name)
        assert found is not None
        assert found.resolve() == folder / name
    assert find_model(EngineConfig(name="comfyui"), "checkpoint", "a.safetensors") is None
    monkeypatch.setenv("COMFYUI_PATH", str(root))
    assert find_model(EngineConfig(name="comfyui"), "checkpoint", "a.safetensors") is not None
    assert find_model(EngineConfig(), "checkpoint", "a.safetensors") is None


def test_models_named_as_comfyui_does_count_in_the_footprint(tmp_path: Path) -> None:
    gib = 2**30
    folders = tmp_path / "models"
    write_model(folders / "checkpoints" / "m.safetensors", {f"{PREFIX}x": (3, gib), "vae.x": (1, gib)})
    write_model(folders / "text_encoders" / "t.safetensors", {"x": (2, gib)})
    engine = comfyui(tmp_path, checkpoint="m.safetensors", text_encoder="t.safetensors")
    footprint = engine_footprint(engine, (), 80.0)
    assert footprint is not None
    assert unknown_sizes(engine) == ()
    assert footprint.weights_gib[Stage.SAMPLE]["transformer"] == pytest.approx(3.0, rel=1e-3)
    assert footprint.weights_gib[Stage.ENCODE]["text encoder"] == pytest.approx(2.0, rel=1e-3)
    assert footprint.weights_gib[Stage.DECODE]["vae"] == pytest.approx(1.0, rel=1e-3)


def test_a_size_that_is_unknown_is_told_and_not_taken_for_nothing(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "checkpoints" / "m.safetensors", {"x": (1,)})
    lora = Lora(path="style.safetensors")
    engine = comfyui(tmp_path, checkpoint="m.safetensors", text_encoder="t.safetensors").model_copy(
        update={"loras": (lora,)}
    )
    assert engine_footprint(engine, (), 80.0) is None
    assert unknown_sizes(engine) == ("t.safetensors", "style.safetensors")
    (finding,) = check_known(engine)
    assert "model sizes unknown (t.safetensors, style.safetensors)" in finding.message
    assert list(check_known(EngineConfig())) == []


@pytest.mark.parametrize(
    ("tensors", "like"),
    [
        ({f"{PREFIX}x": (1_900, 1_000_000), "vae.x": (9_000, 1_000_000)}, SMALL),
        ({f"{PREFIX}x": (13_000, 1_000_000)}, LARGE),
        ({"transformer_blocks.0.x": (13_000, 1_000_000)}, LARGE),
        ({f"{PREFIX}x": (19, 1), f"{PREFIX}audio_adaln_single.linear.weight": (1,)}, WITH_SOUND),
    ],
)
def test_a_model_is_known_by_its_header(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], like: str
) -> None:
    engine = EngineConfig(checkpoint=str(write_model(tmp_path / "m.safetensors", tensors)))
    assert model_like(engine) == like


def test_a_larger_model_is_expected_to_take_longer(tmp_path: Path) -> None:
    engine = EngineConfig(checkpoint=str(write_model(tmp_path / "m.safetensors", {"x": (13_000, 1_000_000)})))
    assert Durations().estimate(Hardware(engine, "H200"))(sample()) == pytest.approx(9.8, rel=0.01)
    assert ratios(engine)[Stage.DECODE] == 1.0
    assert ratios(EngineConfig(checkpoint="owner/model")) == ratios(EngineConfig()) == {}


def test_what_is_no_model_file_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert model_like(EngineConfig(checkpoint=str(tmp_path / "m.gguf"))) is None

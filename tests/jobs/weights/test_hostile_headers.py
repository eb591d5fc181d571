"""Headers that nobody's software wrote: answered at once, as what they are."""

from __future__ import annotations

import json
import math
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.advice.advice import advice
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes
from jobs.planning.plan import make_plan
from jobs.weights.header import WeightsFault, read_weights
from jobs.weights.positions import counts_causally
from tests.official.files import RELEASES, config_of, single_file, write_sparse

NAME = "ltxv-2b-0.9.8-distilled.safetensors"
FULL = single_file(RELEASES[NAME])
BLOCK = "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight"
DOWN, UP = (f"diffusion_model.patchify_proj.lora_{side}.weight" for side in "AB")
TENSOR = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}


def write(path: Path, header: bytes, data: bytes = b"x") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def entry(shape: bytes) -> bytes:
    return b'{"a":{"dtype":"U8","shape":[' + shape + b'],"data_offsets":[0,1]}}'


@pytest.mark.parametrize(
    "shape",
    [b",".join([b"9" * 4200] * 1900), b",".join([b"9" * 18] * 400_000), b"-1", b"1.5", b"true", b"1e3"],
    ids=["huge numbers", "many numbers", "negative", "fraction", "truth", "exponent"],
)
def test_a_shape_is_a_few_whole_numbers(shape: bytes, tmp_path: Path) -> None:
    """Multiplied out, the first two take minutes."""
    path = write(tmp_path / "m.safetensors", entry(shape))
    began_s = time.process_time()
    with pytest.raises(WeightsFault, match="no safetensors file"):
        read_weights(path)
    assert time.process_time() - began_s < 5


@pytest.mark.parametrize(
    "metadata", [5, [], "x", None, {"config": 5}, {"model_version": 2}, {"_quantization_metadata": {}}]
)
def test_metadata_are_texts_by_name(metadata: Any, tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": metadata, **TENSOR}).encode()
    with pytest.raises(WeightsFault, match="no safetensors file"):
        read_weights(write(tmp_path / "m.safetensors", header))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (9, struct.pack("<IQ", 0, 1) + b"x"),
        (6, struct.pack("<f", math.inf)),
        (8, struct.pack("<Q", 1) + b"x"),
    ],
    ids=["an array", "infinite", "a text"],
)
def test_the_alignment_of_a_gguf_is_a_whole_number(kind: int, value: bytes, tmp_path: Path) -> None:
    name = b"general.alignment"
    field = struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field)
    with pytest.raises(WeightsFault, match="no whole GGUF file"):
        read_weights(path)


@pytest.mark.parametrize("index", ['{"weight_map": [1]}', '{"weight_map": 5}', "[]", "{"])
def test_an_index_that_lists_no_files(index: str, tmp_path: Path) -> None:
    (tmp_path / "m.safetensors.index.json").write_text(index)
    with pytest.raises(WeightsFault):
        read_weights(tmp_path)


def checked(engine: dict[str, Any]) -> str:
    """What check says of a film with this engine, its warnings included."""
    video = {"name": "v", "chunks": [{"generate": {"prompt": "p"}}]}
    spec = {
        "name": "x",
        "engine": {"text_encoder": "owner/t5", **engine},
        "defaults": {"steps": 20, "cfg": 3},
        "videos": [video],
    }
    try:
        loaded = load_spec(spec, probes=Probes())
    except SpecError as error:
        return str(error)
    return "\n".join(advice(make_plan(loaded.spec, loaded.facts), loaded.facts))


@pytest.mark.parametrize("levels", ["abc", 5, {"a": 1}, [1.0, "x", None, 0.5]], ids=str)
def test_noise_levels_that_are_none(levels: Any, tmp_path: Path) -> None:
    config = {**json.loads(config_of(RELEASES[NAME])["config"]), "allowed_inference_steps": levels}
    path = write_sparse(tmp_path / NAME, FULL, {"config": json.dumps(config)})
    said = checked({"checkpoint": str(path)})
    assert "is distilled" in said
    assert ("noise levels 1, 0.5" in said) == isinstance(levels, list)


@pytest.mark.parametrize("config", [{"transformer": 3}, {"transformer": []}, {}], ids=str)
def test_a_transformer_of_which_nothing_is_said(config: dict[str, Any], tmp_path: Path) -> None:
    path = write_sparse(tmp_path / NAME, FULL, {"config": json.dumps(config)})
    assert counts_causally(path, path) is True


def test_a_block_without_a_shape(tmp_path: Path) -> None:
    path = write_sparse(tmp_path / NAME, {**FULL, BLOCK: ("BF16", ())})
    assert "is distilled" in checked({"checkpoint": str(path)})


@pytest.mark.parametrize(
    ("shapes", "metadata"),
    [
        ({DOWN: (), UP: ()}, {}),
        ({DOWN: (0, 128), UP: (2048, 0)}, {"lora_adapter_metadata": '{"transformer.lora_alpha": 8}'}),
        ({DOWN: (4, 128), UP: (2048, 3)}, {"lora_adapter_metadata": "5"}),
        ({DOWN: (4, 128), UP: (2048, 3)}, {"lora_adapter_metadata": '{"transformer.alpha_pattern": [1]}'}),
    ],
    ids=["no shape", "rank 0", "a number for a config", "a list for a pattern"],
)
def test_loras_that_are_none(
    shapes: dict[str, tuple[int, ...]], metadata: dict[str, str], tmp_path: Path
) -> None:
    model = write_sparse(tmp_path / NAME, FULL, config_of(RELEASES[NAME]))
    lora = write_sparse(tmp_path / "l.safetensors", {key: ("F32", s) for key, s in shapes.items()}, metadata)
    assert "engine.loras[0].path" in checked({"checkpoint": str(model), "loras": [{"path": str(lora)}]})

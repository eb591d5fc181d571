"""Text encoders of the GPU benchmark: as large as the published ones, and loaded by the farm's own engine."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from benchmarks.gpu.text.encoders import ENCODERS
from benchmarks.gpu.text.files import make, model_layout, shards_of
from benchmarks.gpu.text.tokenizer import write_tokenizer

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")


@pytest.mark.parametrize(
    ("size", "total", "shards"),
    [("ltx2.3", 24374648032, 5), ("ltx2.5", 23914545248, 5), ("2b", 19049242624, 4)],
)
def test_an_encoder_has_the_size_of_the_published_one(size: str, total: int, shards: int) -> None:
    """`total_size` of the published index of Gemma 3; that of the others is reckoned from their configs."""
    found = shards_of(ENCODERS[size], real=True)
    assert sum(shard.nbytes for shard in found) == pytest.approx(total, rel=1e-6)
    assert len(found) == shards


def test_what_makes_the_context_is_all_there() -> None:
    """5.9 GiB of projections and connectors, beside two blocks."""
    shapes = model_layout("ltx2.3", real=True).shapes
    context = [shape for name, shape in shapes.items() if "connector" in name or "projection" in name]
    assert 2 * sum(map(prod, context)) / 2**30 == pytest.approx(5.91, abs=0.01)
    assert {name.split(".")[3] for name in shapes if "diffusion_model.transformer_blocks" in name} == {
        "0",
        "1",
    }


@pytest.mark.parametrize(("size", "begins"), [("ltx2.3", True), ("ltx2.5", False), ("2b", False)])
def test_a_tokenizer_knows_every_word(size: str, begins: bool, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path, ENCODERS[size], real=False)
    made = AutoTokenizer.from_pretrained(tmp_path)
    tokens = made.convert_ids_to_tokens(made("A red ball: über 3 hills").input_ids)
    assert (tokens[0] == "<bos>") == begins
    assert "red" in made.decode(made("a red ball").input_ids)


@pytest.mark.parametrize(("size", "tokens"), [("ltx2.3", 1024), ("ltx2.5", 1024), ("2b", 256)])
def test_the_engine_encodes_with_it(size: str, tokens: int, tmp_path: Path) -> None:
    from actors.engines.make import make_engine
    from jobs.planning.params import EncodeText
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    folder = tmp_path / "text"
    make(size, folder, False, "cpu")
    index = json.loads((folder / "text_encoder" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(ENCODERS[size].shapes(real=False))
    config = EngineConfig(checkpoint=str(folder / "model.safetensors"), text_encoder=str(folder))
    engine = make_engine(config, "cpu", 1)
    engine.setup(frozenset({Stage.ENCODE}))
    made, other = (engine.encode_text(EncodeText(prompt, "fog")) for prompt in ("a red ball", "a red cube"))
    assert made["positive"].shape[:2] == (1, tokens)
    assert (made["positive"] != other["positive"]).any()
    assert (made["negative"] == other["negative"]).all()
    engine.close()

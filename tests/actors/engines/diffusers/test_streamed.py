"""Models whose blocks stay in host memory make the bytes of those that are on the device as a whole; a copy,
or the device that torch calls `meta`, stands for the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from actors.engines.diffusers import streamed as module
from actors.engines.diffusers.ltx2.text import GemmaStates
from actors.engines.diffusers.ltx_video.lora import MergedLoras, OpenLora
from actors.engines.diffusers.ltx_video.text import T5Prompts
from actors.engines.diffusers.streamed import blocks_of, stream_blocks
from actors.engines.make import make_engine
from benchmarks.gpu.text.encoders import ENCODERS
from benchmarks.gpu.text.files import write_encoder
from jobs.planning.params import EncodeText
from jobs.spec.engine import EngineConfig, Lora, PassStrengths
from jobs.tasks.task import Stage
from jobs.weights.lora_keys import Patch
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER
from tests.actors.engines.diffusers.ltx_video.test_lora_passes import STAGES, Passes, written


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each weight that was brought over; the device has a copy of its own."""
    sizes: list[int] = []

    def copied(weight: torch.Tensor, _: torch.device) -> torch.Tensor:
        sizes.append(weight.nbytes)
        return torch.nn.Parameter(weight.detach().clone(), requires_grad=False)

    monkeypatch.setattr(module, "_brought", copied)
    return sizes


class Block(torch.nn.Linear):
    """Notes where its weights are while it computes."""

    seen: str = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.weight.device.type
        return x


def small_model(blocks: int) -> Any:
    model: Any = torch.nn.Module()
    model.proj_in, model.table = torch.nn.Linear(4, 4), torch.nn.Parameter(torch.zeros(4))
    model.transformer_blocks = torch.nn.ModuleList(Block(4, 4) for _ in range(blocks))
    return model


def test_blocks_come_over_one_by_one_and_their_weights_stay_at_home() -> None:
    """With what torch has of its own: there need be no accelerate. Asked twice, they are brought once."""
    model, device = small_model(2), torch.device("meta")
    homes = [block.weight.data_ptr() for block in model.transformer_blocks]
    for _ in range(2):
        stream_blocks(model.transformer_blocks, device)
        model.to(device)
    assert {model.proj_in.weight.device.type, model.table.device.type} == {"meta"}
    for block in model.transformer_blocks:
        assert len(block._forward_pre_hooks) == 1
        block(torch.zeros(1, 4))
        assert block.seen == "meta"
    assert [block.weight.data_ptr() for block in model.transformer_blocks] == homes
    first = model.transformer_blocks[0]
    with torch.no_grad():
        first.weight.fill_(3.0)
    first(torch.zeros(1, 4))
    assert bool((first.weight == 3.0).all()), "what is merged while it is at home stays"


def test_a_block_that_fails_goes_home() -> None:
    """As where memory runs out in it: it is tried again."""
    model = small_model(1)
    (block,) = model.transformer_blocks
    stream_blocks([block], torch.device("meta"))
    block.forward = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        block(torch.zeros(1, 4))
    assert block.weight.device.type == "cpu"


@pytest.mark.usefixtures("brought")
def test_loras_reach_what_was_brought_over(tmp_path: Path) -> None:
    """Layers outside of the blocks, and those inside while they compute."""
    model: Any = torch.nn.Module()
    model.proj_in = torch.nn.Linear(4, 4, bias=False)
    model.transformer_blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4, bias=False)])
    names = ("proj_in.weight", "transformer_blocks.0.weight")
    plain = {name: model.get_parameter(name).detach().clone() for name in names}
    save_file({name: torch.ones(4, 4) for name in names}, tmp_path / "lora.safetensors")
    opened = OpenLora(tmp_path / "lora.safetensors", tuple(Patch(name, {"diff": name}) for name in names))
    loras = MergedLoras(
        model,
        [(opened.path, PassStrengths(sample=1.0, upscale=0.0))],
        lambda *_: opened,
        lambda asked: ((name, plain[name]) for name in asked),
        lambda name: name,
    )
    stream_blocks(model.transformer_blocks, torch.device("cpu"))
    seen: list[torch.Tensor] = []
    first = model.transformer_blocks[0]
    first.register_forward_pre_hook(lambda block, *_: seen.append(block.weight.detach()))
    for which, more in (("sample", 1.0), ("upscale", 0.0)):
        loras.use(which)  # type: ignore[arg-type]
        first(torch.zeros(1, 4))
        assert torch.equal(model.proj_in.weight.detach(), plain["proj_in.weight"] + more)
        assert torch.equal(seen.pop(), plain["transformer_blocks.0.weight"] + more)


@pytest.fixture(scope="module", params=["small_ltx_video", "small_ltx2"])
def passes(request: pytest.FixtureRequest) -> Passes:
    return Passes(request.getfixturevalue(request.param))


@pytest.mark.parametrize("dtype", ["auto", "fp8"])
def test_passes_make_the_same_bytes(passes: Passes, dtype: Any, tmp_path: Path, brought: list[int]) -> None:
    """With weights of 16 bits and of 8, and LoRAs that go from pass to pass; from the start of the engine."""
    style = written(Path(passes.checkpoint), tmp_path / "style.safetensors", "attn1.to_v")
    loras = (Lora(path=str(style), strength=PassStrengths(sample=0.3, upscale=0.8)),)
    whole = passes.engine(*STAGES, loras=loras, dtype=dtype)
    wanted = {which: passes.made(whole, which) for which in STAGES}
    assert brought == []
    config = EngineConfig(checkpoint=passes.checkpoint, loras=loras, dtype=dtype)
    engine: Any = make_engine(config, "cpu", 1, {TRANSFORMER})
    engine.setup(frozenset(STAGES.values()))
    assert brought == []
    for which in ("sample", "upscale", "sample"):
        np.testing.assert_array_equal(passes.made(engine, which), wanted[which])
        blocks = engine._runner.residents.model("denoising").transformer.transformer_blocks
        assert sum(brought) % sum(weight.nbytes for weight in weights_of(blocks)) == 0
        assert brought
        brought.clear()
    engine.free("stream")
    np.testing.assert_array_equal(passes.made(engine, "sample"), wanted["sample"])


def weights_of(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


@pytest.mark.parametrize("size", ["ltx2.3", "ltx2.5", "2b"])
def test_a_text_encoder_makes_the_same_states(size: str, tmp_path: Path, brought: list[int]) -> None:
    """Each layer of Gemma 3, of Gemma 4 and of T5 comes over once for a prompt; embeddings stay there."""
    pytest.importorskip("transformers")
    pytest.importorskip("tokenizers")
    write_encoder(tmp_path, ENCODERS[size], False, "cpu")
    kind: Any = T5Prompts if size == "2b" else GemmaStates
    whole, apart = kind.load(tmp_path, torch.float32), kind.load(tmp_path, torch.float32)
    apart.stream(torch.device("cpu"))
    read = "encode" if size == "2b" else "states"
    with torch.inference_mode():
        wanted, found = (getattr(each, read)("a pier") for each in (whole, apart))
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    encoder = apart.encoder if size == "2b" else apart.model
    layers = [weight for block in blocks_of(encoder) for weight in weights_of(block)]
    assert 0 < sum(brought) <= sum(weight.nbytes for weight in layers)
    embeddings = encoder.get_input_embeddings().weight
    assert not any(weight is embeddings for weight in layers)
    apart.to(torch.device("meta"))
    assert encoder.device.type == encoder.get_input_embeddings().weight.device.type == "meta"
    assert {weight.device.type for block in blocks_of(encoder) for weight in weights_of(block)} == {"cpu"}


def test_a_transformer_goes_to_its_device_but_for_its_blocks(passes: Passes) -> None:
    engine: Any = passes.engine("sample")
    model, meta = engine._runner.residents.model("denoising"), torch.device("meta")
    model.stream(meta)
    model.to(meta)
    blocks = weights_of(model.transformer.transformer_blocks)
    assert {weight.device.type for weight in blocks} == {"cpu"}
    inside = {id(weight) for weight in blocks}
    outside = [weight for weight in weights_of(model.transformer) if id(weight) not in inside]
    assert {weight.device.type for weight in outside} == {"meta"}
    assert model.transformer.device == meta


def test_a_prompt_is_read_again_by_an_engine_that_streams(small_ltx2: Path) -> None:
    """The bundled encoder is small and has nothing to stream."""
    words, made = EncodeText("a red ball", ""), []
    for streamed in ((), {TEXT_ENCODER, TRANSFORMER}):
        engine: Any = make_engine(EngineConfig(checkpoint=str(small_ltx2)), "cpu", 1, streamed)
        engine.setup(frozenset({Stage.ENCODE}))
        made.append(engine.encode_text(words))
    for name, array in made[0].arrays.items():
        np.testing.assert_array_equal(made[1][name], array)

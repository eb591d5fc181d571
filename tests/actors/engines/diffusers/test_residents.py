"""Which models are moved, and how often; the device is the one that torch calls `meta`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from actors.engines.diffusers import residents as module
from actors.engines.diffusers.ltx_video.lora import MergedLoras, OpenLora
from actors.engines.diffusers.residents import PROMPTS, Residents, stream_blocks
from jobs.spec.engine import PassStrengths
from jobs.weights.lora_keys import Patch


class Model:
    """Counts its moves; the first `refusals` moves to the device find no room."""

    def __init__(self, refusals: int = 0) -> None:
        self.moves: list[str] = []
        self.refusals = refusals

    def to(self, device: torch.device) -> None:
        if device.type != "cpu" and self.refusals:
            self.refusals -= 1
            raise torch.OutOfMemoryError("no room")
        self.moves.append(device.type)


def _residents(**models: Model) -> Residents:
    def made(model: Model) -> Callable[[], Any]:
        return lambda: model

    return Residents(torch.device("meta"), {name: made(model) for name, model in models.items()})


def test_a_model_is_moved_once() -> None:
    model = Model()
    residents = _residents(a=model)
    assert residents.get("a") is residents.get("a") is model
    assert model.moves == ["meta"]


def test_an_evicted_model_comes_back() -> None:
    model = Model()
    residents = _residents(a=model)
    residents.get("a")
    residents.evict()
    residents.get("a")
    assert model.moves == ["meta", "cpu", "meta"]


def test_a_model_without_room_sends_the_others_away() -> None:
    first, second = Model(), Model(refusals=1)
    residents = _residents(a=first, b=second)
    residents.get("a")
    residents.get("b")
    assert first.moves == ["meta", "cpu"]
    assert second.moves == ["cpu", "meta"]
    residents.get("a")
    assert first.moves == ["meta", "cpu", "meta"]


class Device:
    """One with room for some models. Each load makes a model of its own; `log` has loads and moves home."""

    def __init__(self, room: int, **sizes: int) -> None:
        self.room, self.log, self.on = room, list[str](), dict[str, int]()
        load: dict[str, Callable[[], Any]] = {
            name: partial(self._loaded, name, size) for name, size in sizes.items()
        }
        self.residents = Residents(torch.device("meta"), load)

    def _loaded(self, name: str, size: int) -> Any:
        device = self
        device.log.append(f"load {name}")

        class Sized:
            def to(self, where: torch.device) -> None:
                if where.type == "cpu":
                    device.on.pop(name, None)
                    device.log.append(f"home {name}")
                elif sum(device.on.values()) + size > device.room:
                    raise torch.OutOfMemoryError("no room")
                else:
                    device.on[name] = size

            def __del__(self) -> None:
                device.on.pop(name, None)

        return Sized()


def test_the_text_encoder_leaves_first_and_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others stay; no copy of it is made in host memory, and it comes back from its files."""
    made_good: list[None] = []
    monkeypatch.setattr(module, "overcome", lambda: made_good.append(None))
    device = Device(6, prompts=3, codec=1, denoising=3)
    for name in (PROMPTS, "codec", "denoising"):
        device.residents.get(name)
    assert set(device.on) == {"codec", "denoising"}
    assert device.log == ["load prompts", "load codec", "load denoising"]
    assert len(made_good) == 1
    device.residents.get(PROMPTS)
    assert set(device.on) == {PROMPTS}
    assert device.log[3:] == ["load prompts", "home codec", "home denoising", "load prompts"]
    assert len(made_good) == 2
    device.residents.get("denoising")
    assert set(device.on) == {PROMPTS, "denoising"}


def test_a_model_that_needs_more_than_the_text_encoders_room_sends_all_others_away() -> None:
    device = Device(4, prompts=1, codec=2, denoising=4)
    for name in (PROMPTS, "codec", "denoising"):
        device.residents.get(name)
    assert set(device.on) == {"denoising"}
    assert "home codec" in device.log
    assert "home prompts" not in device.log


def test_what_has_no_room_beside_the_text_encoder_waits_in_host_memory() -> None:
    """At setup: prompts are encoded first, and then it leaves."""
    device = Device(5, prompts=3, codec=1, denoising=3)
    for name in (PROMPTS, "codec", "denoising"):
        device.residents.prepare(name)
    assert set(device.on) == {PROMPTS, "codec"}
    device.residents.get(PROMPTS)
    device.residents.get("denoising")
    assert set(device.on) == {"codec", "denoising"}
    assert device.log.count("load prompts") == 1
    assert device.log.count("load denoising") == 1


def test_without_a_text_encoder_models_make_room_as_they_are_prepared() -> None:
    device = Device(3, codec=1, denoising=3)
    for name in ("codec", "denoising"):
        device.residents.prepare(name)
    assert set(device.on) == {"denoising"}


@pytest.mark.parametrize("leaves", [Residents.drop_prompts, Residents.evict])
def test_dropping_the_text_encoder(leaves: Callable[[Residents], None]) -> None:
    device = Device(6, prompts=3, codec=1)
    for _ in range(2):
        leaves(device.residents)
        device.residents.get(PROMPTS)
        device.residents.get("codec")
    assert device.log.count("load prompts") == 2
    assert device.log.count("load codec") == 1
    assert "home prompts" not in device.log


class Block(torch.nn.Linear):
    """Notes where its weights are while it computes."""

    seen: str = ""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.weight.device.type
        return x


def test_blocks_come_over_one_by_one_and_their_weights_stay_at_home() -> None:
    """With what torch has of its own: there need be no accelerate."""
    model: Any = torch.nn.Module()
    model.proj_in, model.table = torch.nn.Linear(4, 4), torch.nn.Parameter(torch.zeros(4))
    model.transformer_blocks = torch.nn.ModuleList(Block(4, 4) for _ in range(2))
    homes = [block.weight.data_ptr() for block in model.transformer_blocks]
    stream_blocks(model, torch.device("meta"))
    assert {model.proj_in.weight.device.type, model.table.device.type} == {"meta"}
    for block in model.transformer_blocks:
        block(torch.zeros(1, 4))
        assert block.seen == "meta"
    assert [block.weight.data_ptr() for block in model.transformer_blocks] == homes
    first = model.transformer_blocks[0]
    with torch.no_grad():
        first.weight.fill_(3.0)
    first(torch.zeros(1, 4))
    assert bool((first.weight == 3.0).all()), "what is merged while it is at home stays"


def test_loras_reach_what_was_brought_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy stands for the device: layers outside of the blocks, and those inside while they compute."""
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
    monkeypatch.setattr(module, "_brought", lambda weight, _: torch.nn.Parameter(weight.detach().clone()))
    stream_blocks(model, torch.device("cpu"))
    seen: list[torch.Tensor] = []
    first = model.transformer_blocks[0]
    first.register_forward_pre_hook(lambda block, *_: seen.append(block.weight.detach()))
    for which, more in (("sample", 1.0), ("upscale", 0.0)):
        loras.use(which)  # type: ignore[arg-type]
        first(torch.zeros(1, 4))
        assert torch.equal(model.proj_in.weight.detach(), plain["proj_in.weight"] + more)
        assert torch.equal(seen.pop(), plain["transformer_blocks.0.weight"] + more)

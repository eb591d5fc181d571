"""Which models are moved, and how often; the device is the one that torch calls `meta`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from actors.engines.diffusers import residents as module
from actors.engines.diffusers.residents import PROMPTS, Residents


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


def test_a_streamed_model_is_never_placed_whole() -> None:
    """Not at a worker's start, and not when it comes back; others are."""
    log: list[str] = []

    class Streamed(Model):
        def stream(self, device: torch.device) -> None:
            log.append(f"stream on {device.type} after {len(self.moves)} moves")

    model, other = Streamed(), Streamed()
    residents = _residents(denoising=model, prompts=other)
    residents.stream(["denoising"])
    residents.prepare("denoising")
    residents.get("prompts")
    assert log == ["stream on meta after 0 moves"]
    residents.evict()
    residents.get("denoising")
    assert log[1:] == ["stream on meta after 2 moves"]
    assert model.moves == ["meta", "cpu", "meta"]

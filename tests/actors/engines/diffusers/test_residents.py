"""Which models are moved, and how often; the device is the one that torch calls `meta`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from actors.engines.diffusers.residents import Residents


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

"""What guides a 2x re-sampling, and how its chain passes over to the next clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from actors.payload import Payload
from actors.steps.upscale import upscale
from jobs.frames import ChunkSpan
from jobs.planning.params import PlannedGuider, Sampling, UpscaleParams

if TYPE_CHECKING:
    from actors.engines.base import Engine

SAMPLING = Sampling(3, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95, 0.5)
NEW = 2


class Recorder:
    """An engine that answers with ones and keeps the guides and the tail that it was given."""

    def __init__(self) -> None:
        self.guides: list[Payload] = []
        self.tail: Payload | None = None

    def upscale(
        self,
        params: UpscaleParams,
        latents: Payload,
        words: Any,
        guides: list[Payload],
        tail: Payload | None,
    ) -> Payload:
        self.guides, self.tail = guides, tail
        return Payload({"latents": np.ones((1, 1, params.span.sampled, 1, 1), np.float32)})


def _numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, -1, 1, 1)


def _joined(overlap: int, trusted: int, previous: Payload | None) -> tuple[list[float], Payload | None]:
    params = UpscaleParams(
        64, 64, ChunkSpan(overlap, NEW, 20), 25.0, 1, SAMPLING, True, trusted, 1.0, "auto", 0
    )
    engine = Recorder()
    inputs = {"latents": [Payload({"latents": _numbers(0)})]} | ({"previous": [previous]} if previous else {})
    made = upscale(params, inputs, cast("Engine", engine))
    return made["latents"].ravel().tolist(), engine.tail


@pytest.mark.parametrize(
    ("overlap", "trusted", "guide", "chain"),
    [
        (1, 1, [40], [40, 1, 1]),
        (2, 1, [30], [30, 1, 1, 1]),
        (3, 2, [20, 30], [20, (30 + 1) / 2, 1, 1, 1]),
        (2, 2, [30, 40], [30, (40 + 1) / 2, 1, 1]),
    ],
)
def test_the_trusted_latents_guide_and_the_rest_gives_way(
    overlap: int, trusted: int, guide: list[float], chain: list[float]
) -> None:
    previous = Payload({"latents": _numbers(10, 20, 30, 40), "audio_latents": _numbers(7)})
    made, tail = _joined(overlap, trusted, previous)
    assert tail is not None
    assert "audio_latents" in tail
    assert tail["latents"].ravel().tolist() == guide
    assert made == chain


def test_images_reach_the_second_pass() -> None:
    image = Payload({"latents": _numbers(5)})
    params = UpscaleParams(64, 64, ChunkSpan(0, 2, 2), 25.0, 1, SAMPLING, True, 0, 1.0, "auto", 0)
    engine = Recorder()
    upscale(
        params, {"latents": [Payload({"latents": _numbers(0)})], "guide": [image]}, cast("Engine", engine)
    )
    assert engine.guides == [image]


def test_an_unguided_chunk_stays_as_it_is() -> None:
    made, tail = _joined(2, 1, None)
    assert tail is None
    assert made == [1, 1, 1, 1]

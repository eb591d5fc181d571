"""What may not be committed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from actors.payload import Payload, from_torch
from actors.verify_output import is_black, is_frozen, verify_output
from jobs.errors import BadOutput
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import DecodeParams, EncodeText, PassParams, StageParams
from jobs.planning.rounds.layout import Tile
from jobs.planning.rounds.params import CanvasParams, HeardPart, TileParams
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.run import Verify
from jobs.tasks.task import Stage, StageTask

SAMPLING = Sampling(1, 1.0, "euler", None, PlannedGuider(), 2.05, 0.95)
SAMPLE = PassParams(64, 32, ChunkSpan(0, 2, 2), 25.0, 0, SAMPLING, (), 1.0, "auto", 0)
WINDOW = DecodeWindow(Span(0, 2), Span(0, 2), Span(0, 9))
DECODE = DecodeParams(64, 32, (Span(0, 2),), WINDOW, 0, 25.0)


def _task(params: StageParams) -> StageTask:
    return StageTask("film/00000/x", Stage.SAMPLE, "film", 0, 0, (), params, 0)


def _verify(params: StageParams, arrays: dict[str, np.ndarray], **rules: Any) -> tuple[str, ...]:
    return verify_output(_task(params), Payload(arrays), Verify(**rules))


def _moving(count: int = 9) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 64, 3), dtype=np.uint8)


def test_good_results_pass() -> None:
    assert _verify(SAMPLE, {"latents": np.zeros((1, 128, 2, 1, 2), np.float32)}) == ()
    assert _verify(DECODE, {"frames": _moving()}) == ()
    assert _verify(EncodeText("a", ""), {"positive": np.ones((1, 2, 3), np.float32)}) == ()


def test_canvases_and_tiles_have_their_lengths() -> None:
    canvas = CanvasParams(64, 32, (4, 3), False)
    tile = Tile(Span(0, 13), 7, (), (), Span(0, 0))
    params = TileParams(
        64, 32, 13, tile, 60.0, HeardPart(Span(0, 7), 24.0, 0.0, 2.0), (), SAMPLING, 0, "auto", 0
    )
    for made, length in ((canvas, 13), (params, 6)):
        assert _verify(made, {"latents": np.zeros((1, 128, length, 1, 2), np.float32)}) == ()
        with pytest.raises(BadOutput, match="latents have the shape"):
            _verify(made, {"latents": np.zeros((1, 128, 7, 1, 2), np.float32)})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(bad: float) -> None:
    latents = np.zeros((1, 128, 2, 1, 2), np.float32)
    latents[0, 3, 1, 0, 1] = bad
    with pytest.raises(BadOutput, match="finite"):
        _verify(SAMPLE, {"latents": latents})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bfloat16_numbers_must_be_finite_too(bad: float) -> None:
    tensor = torch.ones(1, 2, 3, dtype=torch.bfloat16)
    assert verify_output(_task(EncodeText("a", "")), from_torch({"positive": tensor}), Verify()) == ()
    tensor[0, 1, 1] = bad
    with pytest.raises(BadOutput, match="finite"):
        verify_output(_task(EncodeText("a", "")), from_torch({"positive": tensor}), Verify())


@pytest.mark.parametrize("shape", [(1, 128, 3, 1, 2), (1, 128, 2, 2, 2), (2, 128, 2, 1, 2), (128, 2, 1, 2)])
def test_latents_must_have_their_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadOutput, match="shape"):
        _verify(SAMPLE, {"latents": np.zeros(shape, np.float32)})


def test_frames_must_be_all_there() -> None:
    with pytest.raises(BadOutput, match="shape"):
        _verify(DECODE, {"frames": _moving(8)})


def test_black_and_frozen_follow_the_rules() -> None:
    black, frozen = np.zeros((9, 32, 64, 3), np.uint8), _moving(1).repeat(9, axis=0)
    with pytest.raises(BadOutput, match="black"):
        _verify(DECODE, {"frames": black})
    with pytest.raises(BadOutput, match="frozen"):
        _verify(DECODE, {"frames": frozen})
    assert _verify(DECODE, {"frames": black}, black="warn", frozen="warn") == (
        "all frames are black",
        "all frames are frozen",
    )
    assert _verify(DECODE, {"frames": black}, black="off", frozen="off") == ()


def test_one_bright_pixel_is_not_black_and_one_frame_is_not_frozen() -> None:
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    frames[2, 0, 0, 0] = 200
    assert not is_black(frames)
    assert not is_frozen(frames)
    assert not is_frozen(frames[:1])


def test_evidence_is_the_same_for_the_same_bytes() -> None:
    black = np.zeros((9, 32, 64, 3), np.uint8)
    found = []
    for _ in range(2):
        with pytest.raises(BadOutput) as caught:
            _verify(DECODE, {"frames": black.copy()})
        found.append(caught.value.evidence)
    assert found[0] == found[1] != ""

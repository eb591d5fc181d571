"""What may not be committed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from actors.payload import Payload, from_torch
from actors.verify_output import is_black, is_frozen, keyframe_count, latent_shape, verify_output
from jobs.errors import BadOutput
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import DecodeParams, EncodeText, PassParams, StageParams
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.run import Verify
from jobs.tasks.task import Stage, StageTask
from tests.jobs.planning.plan_specs import extend, generate
from tests.jobs.tasks.test_graph import graph_of

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


def _film_of_rounds() -> list[StageTask]:
    """Two chunks of 7 latents each, which are two stretches each, and two rounds."""
    chunks = (generate(num_frames=49), extend(num_new_frames=48, overlap_frames=16))
    job: dict[str, Any] = {
        "engine": {"name": "fake"},
        "upscale": {"temporal": 4},
        "defaults": {"width": 64, "height": 64},
    }
    return list(graph_of(*chunks, **job).tasks.values())


def _latents(length: int, task: StageTask) -> np.ndarray:
    shape = latent_shape(task)
    assert shape is not None
    return np.zeros((1, 128, length, *shape[1:]), np.float32)


def test_keyframes_are_as_many_as_passes_canvases_and_tiles_have() -> None:
    due = {
        "0/sample": 2, "0/upscale": 2, "0.r1/upscale": 2, "0.r1-t0/upscale": 1, "0.r1-t1/upscale": 1,
        "0.r2/upscale": 4, "0.r2-t0/upscale": 1, "0.r2-t3/upscale": 1,
        "1/sample": 2, "1/upscale": 3, "1.r1/upscale": 3, "1.r2/upscale": 5, "1.r2-t3/upscale": 1,
    }  # fmt: skip
    tasks = {task.id.removeprefix("dawn/0000"): task for task in _film_of_rounds()}
    assert {name: keyframe_count(tasks[name]) for name in due} == due
    for name, count in due.items():
        task = tasks[name]
        latents = _latents((latent_shape(task) or (0,))[0], task)
        verify_output(task, Payload({"latents": latents, "keyframes": _latents(count, task)}), Verify())
        for wrong in ({}, {"keyframes": _latents(count + 1, task)}):
            with pytest.raises(BadOutput, match="keyframes have the shape"):
                verify_output(task, Payload({"latents": latents, **wrong}), Verify())


def test_canvases_and_tiles_have_their_lengths() -> None:
    for task in _film_of_rounds():
        if isinstance(task.params, CanvasParams | TileParams):
            with pytest.raises(BadOutput, match="latents have the shape"):
                verify_output(task, Payload({"latents": _latents(5, task)}), Verify())


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

"""Stills and clips that hold them, on a random-weight checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from jobs.frames import ChunkSpan, Span
from jobs.planning.params import EncodeImage, EncodeText, Excerpt, PassParams, Upsampling
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from tests.actors.engines.diffusers.test_engine import DECODE, GENERATE, SAMPLING, UPSCALE

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.base import Engine

APART = replace(UPSCALE, span=ChunkSpan(1, 2, 5), excerpt=Excerpt((Span(0, 3),), 0, (2,)))


@pytest.fixture(scope="module")
def engine(small_ltx_video: Path) -> Engine:
    engine = make_engine(EngineConfig(checkpoint=str(small_ltx_video)), "cpu", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    return engine


@pytest.fixture(scope="module")
def conditioning(engine: Engine) -> Payload:
    return engine.encode_text(EncodeText("a red ball", ""))


@pytest.fixture(scope="module")
def first(engine: Engine, conditioning: Payload) -> Payload:
    made = engine.denoise(GENERATE, [Piece(None)], PassSound(), conditioning)
    assert isinstance(made, Payload)
    return made


def test_a_still_is_a_frame_of_the_upsampled_clip_encoded_again(engine: Engine, first: Payload) -> None:
    larger = engine.upsample(first, Upsampling())
    torch.manual_seed(0)
    frames = engine.decode(replace(DECODE, width=128, height=128), larger)  # type: ignore[arg-type]
    wanted = engine.encode_image(EncodeImage("", 128, 128, 0), np.asarray(frames)[8])
    torch.manual_seed(0)
    found = engine.still(first, 8, Upsampling())
    assert isinstance(found, Payload)
    np.testing.assert_array_equal(found["latents"], wanted["latents"])


def test_a_clip_cut_out_of_a_shot_opens_with_its_still_and_has_the_noise_of_the_shot(
    engine: Engine, conditioning: Payload, first: Payload
) -> None:
    still = Piece(engine.still(first, 0, Upsampling()))
    start = Piece(engine.upsample(first, Upsampling()), hold=0.0)

    def made(run: PassParams, *held: Piece) -> np.ndarray:
        clip = engine.denoise(run, [start, *held], PassSound(), conditioning)
        assert isinstance(clip, Payload)
        return clip["latents"]

    plain = made(APART, still)
    assert plain.shape == (1, 128, 3, 4, 4)
    np.testing.assert_array_equal(made(APART, still), plain)
    for other in (made(UPSCALE, still), made(replace(APART, seed=8), still), made(UPSCALE)):
        assert not np.array_equal(other, plain)
    barely = replace(APART, sampling=replace(SAMPLING, sigmas=(1e-4, 0.0), cfg=1.0))
    np.testing.assert_allclose(made(barely, still)[:, :, 0], still.latents["latents"][:, :, 0], atol=1e-2)

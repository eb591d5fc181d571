"""A chunk that is decoded in windows: its pixels beside those of one decode, and what a segment holds of them
at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.engines.base import landed
from actors.engines.make import make_engine
from actors.media.audio import Listen, read_audio
from actors.media.frames import Cut, read_video
from actors.payload import Payload
from actors.steps.decode import FIRST_FRAME_KEY, decode
from actors.steps.seeding import seed_everything
from actors.steps.segment import segment
from actors.steps.sound import SoundSamples
from actors.worker.inputs import OneAtATime
from jobs.frames import DecodeWindow, Span, audio_sample, frames_of
from jobs.planning.params import DecodeParams, SegmentParams
from jobs.planning.windows import windows
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Need, Stage

if TYPE_CHECKING:
    from actors.engines.base import Engine

LATENTS, COUNT = 29, 4
WHOLE = DecodeWindow(Span(0, LATENTS), Span(0, LATENTS), Span(0, frames_of(LATENTS)))


@pytest.fixture(scope="module")
def bundled() -> Iterator[Engine]:
    engine = make_engine(EngineConfig(), "cpu", 1)
    engine.setup(frozenset({Stage.DECODE}))
    yield engine
    engine.close()


def decoded(engine: Engine, window: DecodeWindow) -> np.ndarray:
    """Of a clip of noise, which is harder than any film."""
    clip = np.random.default_rng(1).standard_normal((1, 128, LATENTS, 2, 2), np.float32)
    params = DecodeParams(64, 64, (Span(0, LATENTS),), window, 7, 50.0, temporal=COUNT)
    seed_everything(params.seed)
    made = landed(decode(params, {"latents": [Payload({"latents": clip})]}, engine))
    assert isinstance(made, Payload)
    return made["frames"]


@pytest.mark.parametrize(("context", "most"), [(4, 8), (12, 1), (LATENTS, 0)])
def test_windows_are_the_whole_decode_where_they_see_enough(bundled: Engine, context: int, most: int) -> None:
    """Beyond what the decoder sees of its neighbours, only sums are rounded otherwise."""
    whole = decoded(bundled, WHOLE)
    joined = np.concatenate([decoded(bundled, window) for window in windows(WHOLE, COUNT, context)])
    assert np.abs(joined.astype(int) - whole).max() <= most


def test_a_segment_holds_one_window_at_a_time_and_has_the_sound_of_the_first(tmp_path: Path) -> None:
    """Windows of 8 frames, of which 30 are owned, each made when it is asked for."""
    params = SegmentParams(32, 32, 50.0, 0, 30, "ffv1", "mkv", 0, "", "bgr0", 1, audio=True)
    heard = SoundSamples(np.linspace(-1, 1, 2 * 48_000, dtype=np.float32).reshape(2, -1), 48_000, 0)
    seen: list[weakref.ref[np.ndarray]] = []

    def read(need: Need) -> Payload:
        gc.collect()
        assert not any(frames() is not None for frames in seen), "held while the next one is read"
        number = int(need.task)
        frames = np.full((8, 32, 32, 3), 20 * number, np.uint8)
        seen.append(weakref.ref(frames))
        made = Payload({"frames": frames}, {FIRST_FRAME_KEY: str(8 * number)})
        return made if number else heard.add_to(made)

    some = OneAtATime([Need("frames", str(number)) for number in range(COUNT)], read)
    made = segment(params, {"frames": some}, tmp_path)
    assert len(seen) == COUNT, "each is read once"
    shown = read_video(made, Cut(32, 32, 50.0, 30))
    np.testing.assert_array_equal(shown[:, 0, 0, 0], np.repeat([0, 20, 40, 60], 8)[:30])
    samples = audio_sample(30, 48_000, 50.0)
    np.testing.assert_array_equal(read_audio(made, Listen(0, samples, 48_000)), heard.samples[:, :samples])

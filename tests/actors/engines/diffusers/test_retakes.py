"""A clip of which a part is made anew: the rest comes out bit for bit, and reaches what is made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.engines.base import AUDIO, Engine, landed
from actors.engines.diffusers import proof
from actors.engines.make import make_engine
from actors.engines.pieces import PassSound
from actors.payload import Payload
from actors.steps.decode import decode
from actors.steps.passes import run_pass
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import DecodeParams, EncodeAudio, EncodeText, PassParams
from jobs.planning.retakes.params import PartlyMade
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig, FakeConfig
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from pathlib import Path

SAMPLING = Sampling(3, 3.0, "euler_ancestral", None, PlannedGuider(), 2.05, 0.95)
MADE = Span(2, 4)
RUN = PassParams(
    64, 64, ChunkSpan(0, 6, 6), 25.0, 7, SAMPLING, (), 1.0, "auto", 0, retake=PartlyMade(MADE, True, False)
)
SOUND = replace(RUN, audio_mode="generate", retake=PartlyMade(MADE, True, True))
HEARD = EncodeAudio("clip.mp4", 0, 78_720, 48_000, 25.0, 41)


@pytest.fixture(scope="module", params=["fake", "ltx_video", "ltx2"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "fake":
        config = EngineConfig(name="fake", fake=FakeConfig(encode_s=0, sample_s=0, upscale_s=0, decode_s=0))
    else:
        config = EngineConfig(checkpoint=str(request.getfixturevalue(f"small_{request.param}")))
    engine = make_engine(config, "cpu", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    return engine


@pytest.fixture(scope="module")
def ltx2(small_ltx2: Path) -> Engine:
    engine = make_engine(EngineConfig(checkpoint=str(small_ltx2)), "cpu", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    return engine


def a_source(engine: Engine, seed: int = 0) -> Payload:
    channels = 4 if engine.name == "fake" else 128
    numbers = np.random.default_rng(seed)
    return Payload({"latents": numbers.standard_normal((1, channels, 6, 2, 2), dtype=np.float32)})


def with_sound(engine: Engine, source: Payload) -> Payload:
    samples = np.random.default_rng(3).standard_normal((2, 78_720)).astype(np.float32) * 0.1
    return Payload({**source.arrays, **engine.encode_audio(HEARD, samples).arrays})


def made(engine: Engine, run: PassParams, source: Payload) -> Any:
    words = engine.encode_text(EncodeText("a red ball bounces", ""))
    return run_pass(run, {"source": [source], "conditioning": [words]}, engine)


def outside(latents: np.ndarray) -> np.ndarray:
    return np.delete(latents, range(MADE.start, MADE.stop), axis=2)


@pytest.mark.parametrize("sampler", ["euler_ancestral", "euler", "res_2s"])
def test_what_is_held_comes_out_as_it_went_in(engine: Engine, sampler: str) -> None:
    source, run = a_source(engine), replace(RUN, sampling=replace(SAMPLING, sampler=sampler))
    latents = made(engine, run, source)["latents"]
    np.testing.assert_array_equal(outside(latents), outside(source["latents"]))
    differs = (latents != source["latents"]).all(axis=(1, 3, 4))[0]
    assert differs.tolist() == [False, False, True, True, False, False]


def test_what_is_held_reaches_what_is_made(engine: Engine) -> None:
    """And what stood there before does not: the first noise level is 1."""
    source = a_source(engine)
    other = source.copy()
    other["latents"][:, :, 5] += 1.0
    here, there = (made(engine, RUN, each)["latents"][:, :, 2:4] for each in (source, other))
    assert not np.array_equal(here, there)


def test_a_gang_proves_what_is_held_and_what_is_made() -> None:
    """One timestep for each token, as the pass has it, not one for all of them."""
    (piece,), sound = proof._pieces(SOUND), proof._sound(SOUND)
    assert (piece.hold, piece.latents["latents"].shape[2]) == ((1, 1, 0, 0, 1, 1), 6)
    assert (sound.held, sound.made_s) == (True, (9 / 25, 1.0))
    assert proof._sound(replace(RUN, audio_mode="hold")) == PassSound(held=True)


@pytest.mark.parametrize("family", ["ltx_video", "ltx2"])
def test_what_stood_there_leaves_no_trace(family: str, request: pytest.FixtureRequest) -> None:
    engine = make_engine(EngineConfig(checkpoint=str(request.getfixturevalue(f"small_{family}"))), "cpu", 1)
    engine.setup(frozenset({Stage.ENCODE, Stage.SAMPLE}))
    source = a_source(engine)
    other = source.copy()
    other["latents"][:, :, 2:4] = 3.0
    np.testing.assert_array_equal(made(engine, RUN, source)["latents"], made(engine, RUN, other)["latents"])


def test_sound_is_made_anew_for_as_long_as_the_pictures(ltx2: Engine) -> None:
    """Latents 2 and 3 are frames 9 to 24 at 25 a second, and so are the latents of the sound that are heard
    between 0.36 s and 1 s: latent i >= 1 is heard from i/25 - 0.03 s to i/25 + 0.01 s."""
    source = with_sound(ltx2, a_source(ltx2))
    result = made(ltx2, SOUND, source)
    differs = (result[AUDIO] != source[AUDIO]).any(axis=(0, 1, 3))
    assert differs.tolist() == [9 <= at <= 25 for at in range(41)]
    np.testing.assert_array_equal(outside(result["latents"]), outside(source["latents"]))


def test_sound_alone_leaves_every_picture(ltx2: Engine) -> None:
    source = with_sound(ltx2, a_source(ltx2))
    result = made(ltx2, replace(SOUND, retake=PartlyMade(MADE, False, True)), source)
    np.testing.assert_array_equal(result["latents"], source["latents"])
    assert not np.array_equal(result[AUDIO], source[AUDIO])


def test_sound_alone_is_decoded_without_pictures(ltx2: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the sound that is decoded beside them."""
    result = made(ltx2, SOUND, with_sound(ltx2, a_source(ltx2)))
    shown = DecodeWindow(Span(0, 6), Span(1, 5), Span(1, 33))
    whole = DecodeParams(64, 64, (Span(0, 6),), shown, 1, 25.0, sound=Span(0, 6))
    wanted = landed(decode(whole, {"latents": [result]}, ltx2))
    monkeypatch.delattr("actors.engines.diffusers.engine.DiffusersEngine.decode")
    nothing = replace(whole, window=DecodeWindow(Span(0, 0), Span(1, 5), Span(0, 0)))
    heard = landed(decode(nothing, {"latents": [result]}, ltx2))
    assert heard["frames"].shape == (0, 64, 64, 3)
    np.testing.assert_array_equal(heard["audio"], wanted["audio"])
    assert heard.meta == wanted.meta


def test_pictures_alone_hear_the_sound_and_leave_it(ltx2: Engine) -> None:
    source = with_sound(ltx2, a_source(ltx2))
    run = replace(RUN, audio_mode="hold")
    result = made(ltx2, run, source)
    np.testing.assert_array_equal(result[AUDIO], source[AUDIO])
    louder = Payload({**source.arrays, AUDIO: source[AUDIO] * 2})
    assert not np.array_equal(made(ltx2, run, louder)["latents"], result["latents"])

"""The engine on a small LTX-2 file with random weights: sound beside pictures through every stage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.engines.base import AUDIO, Engine
from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from actors.steps.passes import join
from jobs.errors import InvalidInput
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import (
    DecodeParams,
    EncodeAudio,
    EncodeImage,
    EncodeText,
    Excerpt,
    PassParams,
    Upsampling,
)
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.base import Engine

SIGMAS = (1.0, 0.725, 0.421875, 0.0)
SAMPLING = Sampling(3, 1.0, "euler", SIGMAS, PlannedGuider(), 2.05, 0.95)
GENERATE = PassParams(64, 64, ChunkSpan(0, 3, 3), 24.0, 7, SAMPLING, (), 1.0, "auto", 0, "generate")
EXTEND = replace(GENERATE, span=ChunkSpan(2, 2, 5))
SECOND = replace(SAMPLING, sigmas=(0.725, 0.421875, 0.0))
UPSCALE = replace(GENERATE, width=128, height=128, sampling=SECOND, upsampling=Upsampling())
DECODE = DecodeParams(
    64, 64, (Span(0, 3),), DecodeWindow(Span(0, 3), Span(0, 3), Span(0, 17)), 1, 24.0, sound=Span(0, 3)
)


SILENT = PassSound()


def denoised(
    engine: Engine, run: PassParams, words: Payload, *pieces: Piece, sound: PassSound = SILENT
) -> Any:
    return engine.denoise(run, [Piece(None), *pieces], sound, words)


def second(engine: Engine, words: Payload, first: Payload, *pieces: Piece, held: bool = False) -> Any:
    """A second pass over what the first made."""
    start = engine.upsample(first, Upsampling())
    sound = PassSound(first[AUDIO], held)
    return engine.denoise(UPSCALE, [Piece(start, hold=0.0), *pieces], sound, words)


@pytest.fixture(scope="module")
def first(engine: Engine, conditioning: Payload) -> Any:
    return denoised(engine, GENERATE, conditioning)


def test_a_clip_comes_with_its_sound(first: Any) -> None:
    assert first["latents"].shape == (1, 128, 3, 2, 2)
    assert first["audio_latents"].shape == (1, 8, 18, 16), (
        "17 frames at 24 a second are 17.7 latents of sound"
    )


def test_the_same_seed_makes_the_same_bytes(engine: Engine, conditioning: Payload, first: Any) -> None:
    again = denoised(engine, GENERATE, conditioning)
    for name in ("latents", "audio_latents"):
        assert np.array_equal(again[name], first[name])


def test_the_prompt_is_read(engine: Engine, first: Any) -> None:
    other = engine.encode_text(EncodeText("a blue cube", ""))
    changed = denoised(engine, GENERATE, other)
    for name in ("latents", "audio_latents"):
        assert not np.array_equal(changed[name], first[name])


def test_an_extend_holds_picture_and_sound_of_the_chain(
    engine: Engine, conditioning: Payload, first: Any
) -> None:
    """The clip starts at frame 8, a third of a second: 8.33 latents of sound, so at the eighth; the chain has
    18, of which ten are held, and 33 frames have 34."""
    tail = Payload({**first.arrays, "latents": np.ascontiguousarray(first["latents"][:, :, 1:])}, first.meta)
    raw = denoised(engine, EXTEND, conditioning, Piece(tail), sound=PassSound(before=first[AUDIO]))
    assert raw["latents"].shape[2] == 4
    assert raw["audio_latents"].shape[2] == 34 - 8
    assert np.array_equal(raw["latents"][:, :, :2], tail["latents"])
    assert np.array_equal(raw["audio_latents"][:, :, :10], first["audio_latents"][:, :, 8:])
    artifact = join(raw, tail, EXTEND.span)
    assert np.array_equal(artifact["audio_latents"], raw["audio_latents"])


def test_images_hold_at_the_start_and_elsewhere(engine: Engine, conditioning: Payload) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = engine.encode_image(EncodeImage("x.png", 64, 64, 0), pixels)
    made = denoised(engine, GENERATE, conditioning, Piece(image))
    assert np.array_equal(made["latents"][:, :, :1], image["latents"])
    guided = denoised(engine, GENERATE, conditioning, Piece(image, 8))
    assert guided["latents"].shape == made["latents"].shape
    assert not np.array_equal(guided["latents"], made["latents"])


def test_given_sound_comes_back_and_is_heard(engine: Engine, conditioning: Payload) -> None:
    rng, made = np.random.default_rng(0), []
    for _ in range(2):
        samples = rng.uniform(-0.5, 0.5, (2, 34000)).astype(np.float32)
        sound = engine.encode_audio(EncodeAudio("a.wav", 0, 34000, 48000, 24.0, 17), samples)
        assert sound["audio_latents"].shape == (1, 8, 18, 16)
        params = replace(GENERATE, audio_mode="condition")
        heard = PassSound(sound[AUDIO], held=True)
        made.append(denoised(engine, params, conditioning, sound=heard))
        assert np.array_equal(made[-1]["audio_latents"], sound["audio_latents"])
    assert not np.array_equal(made[0]["latents"], made[1]["latents"])


def test_a_second_pass_hears_the_sound(engine: Engine, conditioning: Payload, first: Any) -> None:
    upscaled = second(engine, conditioning, first)
    assert upscaled["latents"].shape == (1, 128, 3, 4, 4)
    assert upscaled[AUDIO].shape == first[AUDIO].shape
    other = Payload({**first.arrays, AUDIO: -first[AUDIO]}, first.meta)
    assert not np.array_equal(second(engine, conditioning, other)["latents"], upscaled["latents"])


@pytest.mark.parametrize("frame", [0, 8, 16])
def test_a_second_pass_has_the_images(engine: Engine, conditioning: Payload, first: Any, frame: int) -> None:
    """At its own size and at their places; one at frame 0 is what the clip starts with."""
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    image = engine.encode_image(EncodeImage("x.png", 128, 128, 0), pixels)
    held = second(engine, conditioning, first, Piece(image, frame))
    free = second(engine, conditioning, first)
    assert held["latents"].shape == free["latents"].shape
    assert not np.array_equal(held["latents"], free["latents"])
    assert np.array_equal(held["latents"][:, :, :1], image["latents"]) == (frame == 0)


def test_a_second_pass_leaves_held_sound_alone(engine: Engine, conditioning: Payload, first: Any) -> None:
    upscaled = second(engine, conditioning, first, held=True)
    assert np.array_equal(upscaled[AUDIO], first[AUDIO])


def test_guidance_runs_up_to_four_forwards(engine: Engine, conditioning: Payload, first: Any) -> None:
    params = (("audio_cfg", 7.0), ("blocks", (1,)), ("modality", 3.0), ("rescale", 0.7), ("stg_scale", 1.0))
    runner = engine._runner  # type: ignore[attr-defined]
    module, calls = runner.residents.get("denoising").transformer, []
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    try:
        guided = replace(GENERATE, sampling=replace(SAMPLING, cfg=3.0, guider=PlannedGuider("stg", params)))
        made = denoised(engine, guided, conditioning)
    finally:
        handle.remove()
    assert len(calls) == 4 * 3
    assert not np.array_equal(made["latents"], first["latents"])


@pytest.mark.parametrize(("key", "value"), [("levels", (1.0, 0.5)), ("blocks", 2)])
def test_a_guider_that_the_model_does_not_have(
    engine: Engine, conditioning: Payload, key: str, value: Any
) -> None:
    guider = PlannedGuider("stg", ((key, value),))
    params = replace(GENERATE, sampling=replace(SAMPLING, guider=guider))
    with pytest.raises(InvalidInput, match=key):
        denoised(engine, params, conditioning)


def test_a_clip_cut_out_of_a_shot_hears_the_end_of_its_chunks_sound(
    engine: Engine, conditioning: Payload, first: Any
) -> None:
    """Of three latents the last two: 9 frames from frame 8 on, a third of a second in; sound has 18 latents
    for all of it, and 10 for the rest."""
    later = Payload({**first.arrays, "latents": np.ascontiguousarray(first["latents"][:, :, 1:])})
    run = replace(
        UPSCALE, span=ChunkSpan(1, 1, 3), audio_mode="hold", excerpt=Excerpt((Span(0, 3),), 0, (1,))
    )
    still = Piece(engine.still(first, 8, Upsampling()))
    start = Piece(engine.upsample(later, Upsampling()), hold=0.0)
    made = engine.denoise(run, [start, still], PassSound(first[AUDIO], held=True), conditioning)
    assert made["latents"].shape == (1, 128, 2, 4, 4)  # type: ignore[index]
    assert np.array_equal(made["latents"][:, :, :1], still.latents["latents"])  # type: ignore[index]
    assert np.array_equal(made[AUDIO], first[AUDIO][:, :, 8:])  # type: ignore[index]


def test_frames_and_sound_are_decoded(engine: Engine, first: Any) -> None:
    frames = engine.decode(DECODE, first)
    assert np.asarray(frames).shape == (17, 64, 64, 3)
    samples, rate = engine.decode_sound(DECODE, first)
    assert rate == 48000
    assert samples.shape == (2, 480 * (4 * 19 - 3)), "17 frames last longer than 18 latents sound"
    assert samples.dtype == np.float32


def test_the_sound_of_an_extend_starts_with_its_frames(engine: Engine, first: Any) -> None:
    """Frame 8 is shown at 333.3 ms, the eighth latent starts at 320: 13.3 ms are left out."""
    params = replace(DECODE, sound=Span(1, 4))
    samples, rate = engine.decode_sound(params, first)
    whole, _ = engine.decode_sound(DECODE, first)
    assert np.array_equal(samples, whole[:, round(rate / 75) :])


def test_an_ltx_video_model_makes_no_sound(conditioning: Payload, small_ltx_video: Path) -> None:
    engine = make_engine(EngineConfig(checkpoint=str(small_ltx_video)), "cpu", 1)
    engine.setup(frozenset({Stage.SAMPLE}))
    with pytest.raises(InvalidInput, match="LTX-Video makes no keyframes for temporal rounds"):
        engine.interpolate(Payload({}))  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="LTX-Video makes no sound"):
        denoised(engine, GENERATE, conditioning)
    engine.close()


@pytest.mark.usefixtures("small_ltx2")
def test_the_fingerprint_names_what_makes_sound(engine: Engine) -> None:
    made = engine.fingerprint()
    assert all(made["decode"]["sound"])
    assert all(made["encode"]["sound"])
    assert made["encode"]["connectors"]


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "lcm"])
def test_a_still_that_is_held_in_part_keeps_its_noise_level(
    sampler: str, engine: Engine, conditioning: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of fresh noise it gets its share: the transformer is told a tenth of the clip's level."""
    from actors.engines.diffusers.ltx2.denoise import JointDenoiser

    seen, call = [], JointDenoiser.__call__

    def watched(self: Any, x: Any, sigma: Any) -> Any:
        partly = ((self.mask > 0) & (self.mask < 1)).expand_as(x)
        told = self.mask.expand_as(x)[partly] * float(sigma)
        seen.append(float(((x - self.known)[partly] / told).square().mean().sqrt()))
        return call(self, x, sigma)

    monkeypatch.setattr(JointDenoiser, "__call__", watched)
    still = Payload({"latents": np.zeros((1, 128, 1, 2, 2), np.float32)})
    run = replace(GENERATE, sampling=replace(SAMPLING, sampler=sampler))
    denoised(engine, run, conditioning, Piece(still, 8, 0.9))
    assert len(seen) >= 3
    assert max(seen) < 2, seen

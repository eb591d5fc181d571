"""A clip that is made in part, and the film's frames of it: what is not made anew is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.engines.base import AUDIO
from actors.media.audio import Listen, read_audio, resampled
from actors.media.frames import Cut, read_video
from actors.media.process import Call, compile_command, exchange
from actors.payload import Payload
from actors.steps.retakes import partly_heard, partly_held, show_source, spliced_frames, spliced_sound
from jobs.frames import Span, audio_sample
from jobs.planning.retakes.params import PartlyMade, ShowSource, Splice

SIZE, RATE = (64, 32), 24.0


def made_clip(path: Path, sound: bool = True, frames: int = 60) -> str:
    """A test picture and a rising tone, losslessly."""
    import ffmpeg

    seconds = frames / RATE
    inputs = [ffmpeg.input(f"testsrc=size=64x32:rate=24:duration={seconds}", f="lavfi")]
    if sound:
        tone = f"aevalsrc=sin(600*t*t):sample_rate=44100:duration={seconds}"
        inputs.append(ffmpeg.input(tone, f="lavfi"))
    options = {"c:v": "ffv1", "pix_fmt": "gbrp", "c:a": "pcm_f32le"}
    exchange(compile_command(ffmpeg.output(*inputs, str(path), **options)), Call("make a clip"))
    return str(path)


def shown(path: str, start: int, frames: int, **changes: Any) -> ShowSource:
    fields = {"skip_frames": 0, "sample_rate": 48_000, "sound_start_s": 0.0, "fit": "crop", **changes}
    return ShowSource(path=path, width=64, height=32, frame_rate=RATE, start=start, frames=frames, **fields)


def test_what_stays_is_what_the_file_shows(tmp_path: Path) -> None:
    path = made_clip(tmp_path / "clip.mkv")
    whole = read_video(path, Cut(*SIZE, RATE, 60))
    heard = read_audio(path, Listen(0, 2 * 48_000, 48_000))
    made = show_source(shown(path, 9, 24))
    np.testing.assert_array_equal(made["frames"], whole[9:33])
    start, stop = audio_sample(9, 48_000, RATE), audio_sample(33, 48_000, RATE)
    np.testing.assert_array_equal(made["audio"], heard[:, start:stop])


def test_parts_of_a_film_join_to_the_sample(tmp_path: Path) -> None:
    """Also where the film's first frame is not the source's, and frames have no whole number of samples."""
    path = made_clip(tmp_path / "clip.mkv")
    changes = {"skip_frames": 5, "sound_start_s": 0.25, "sample_rate": 44_100}
    whole = show_source(shown(path, 0, 49, **changes))
    parts = [show_source(shown(path, at, frames, **changes)) for at, frames in ((0, 1), (1, 16), (17, 32))]
    for name, axis in (("frames", 0), ("audio", 1)):
        joined = np.concatenate([part[name] for part in parts], axis=axis)
        np.testing.assert_array_equal(joined, whole[name])


def test_a_source_without_sound_is_silent(tmp_path: Path) -> None:
    path = made_clip(tmp_path / "clip.mkv", sound=False)
    assert show_source(shown(path, 0, 24))["audio"].shape == (2, 48_000)
    assert not show_source(shown(path, 0, 24))["audio"].any()
    assert "audio" not in show_source(shown(path, 0, 24, sample_rate=None))


@pytest.mark.parametrize(
    ("picture", "hold"), [(True, (1, 1, 0, 0, 1)), (False, (1, 1, 1, 1, 1))], ids=["made", "held"]
)
def test_all_is_held_but_what_is_made_anew(picture: bool, hold: tuple[int, ...]) -> None:
    source = Payload({"latents": np.zeros((1, 4, 5, 1, 2), np.float32)})
    piece = partly_held(PartlyMade(Span(2, 4), picture, True), source)
    assert piece.hold == hold
    assert piece.latents["latents"] is source["latents"]


def test_sound_is_made_anew_while_the_pictures_are() -> None:
    heard = Payload({AUDIO: np.zeros((1, 2, 8, 4), np.float32)})
    made = partly_heard(PartlyMade(Span(2, 4), True, True), heard, RATE)
    assert (made.held, made.made_s) == (True, (9 / 24, 25 / 24))
    kept = partly_heard(PartlyMade(Span(2, 4), True, False), heard, RATE)
    assert (kept.held, kept.made_s) == (True, None)
    assert partly_heard(PartlyMade(Span(2, 4), True, True), Payload({}), RATE).latents is None


def test_frames_fade_into_what_is_made_anew_and_back() -> None:
    made, source = np.full((30, 2, 2, 3), 90, np.uint8), np.zeros((30, 2, 2, 3), np.uint8)
    blocks = spliced_frames(Splice(8, 8, picture=True, sound=False), made, source)
    seen = np.concatenate(blocks)[:, 0, 0, 0]
    np.testing.assert_array_equal(seen[:8], np.arange(10, 90, 10))
    np.testing.assert_array_equal(seen[8:22], 90)
    np.testing.assert_array_equal(seen[22:], np.arange(80, 0, -10))


def test_pictures_that_are_kept_are_the_sources() -> None:
    made, source = np.full((9, 2, 2, 3), 90, np.uint8), np.zeros((9, 2, 2, 3), np.uint8)
    (block,) = spliced_frames(Splice(0, 8, picture=False, sound=True), made, source)
    assert block is source


def sounding(value: float, rate: int, frames: int = 48) -> Payload:
    samples = np.full((2, audio_sample(frames, rate, RATE)), value, np.float32)
    return Payload({"audio": samples}, {"audio_rate": str(rate), "audio_start": "0"})


def test_sound_fades_likewise_at_the_rate_of_the_source() -> None:
    splice = Splice(8, 8, picture=True, sound=True)
    samples, rate = spliced_sound(splice, sounding(1.0, 24_000), sounding(0.0, 48_000), RATE)
    assert (rate, samples.shape) == (48_000, (2, 96_000))
    assert (np.diff(samples[0, :16_000]) > 0).all()
    np.testing.assert_allclose(samples[:, 16_000:80_000], 1.0, atol=1e-3)
    assert (np.diff(samples[0, 80_500:]) < 0).all()


def test_sound_that_is_kept_is_the_sources() -> None:
    splice, source = Splice(8, 8, picture=True, sound=False), sounding(0.5, 48_000)
    samples, _ = spliced_sound(splice, Payload({}), source, RATE)
    assert samples is source["audio"]


def test_a_tone_is_the_same_at_another_rate() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)[None].repeat(2, 0)

    brought = resampled(tone(24_000), 24_000, 48_000)
    assert abs(brought.shape[1] - 48_000) <= 64
    np.testing.assert_allclose(brought[:, 1000:40_000], tone(48_000)[:, 1000:40_000], atol=2e-3)
    assert resampled(brought, 48_000, 48_000) is brought

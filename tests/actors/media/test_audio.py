from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.media import audio
from actors.media.audio import Listen, channels_of, check_sound, read_audio, track_rate
from actors.media.probe import probe_audio
from jobs.errors import InvalidInput


def noise(samples: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(7).uniform(-0.9, 0.9, (channels, samples)).astype(np.float32)


def test_samples_are_those_of_the_file(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    sound = noise(48000)
    path = write_wav(tmp_path / "a.wav", sound, 48000)
    heard = read_audio(path, Listen(1001, 9009, 48000))
    assert heard.dtype == np.float32
    assert np.abs(heard - sound[:, 1001:9009]).max() < 1e-4


def test_slices_of_a_resampled_file_fit_together(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    path = write_wav(tmp_path / "a.wav", noise(44100), 44100)
    whole = read_audio(path, Listen(0, 16000, 16000))
    parts = [read_audio(path, Listen(start, start + 4000, 16000)) for start in range(0, 16000, 4000)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_past_the_end_there_is_silence(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    path = write_wav(tmp_path / "a.wav", noise(1000), 48000)
    heard = read_audio(path, Listen(500, 2000, 48000))
    assert heard.shape == (2, 1500)
    assert not heard[:, 500:].any()
    assert heard[:, :500].any()
    assert not read_audio(path, Listen(5000, 6000, 48000)).any()


def test_mono_is_heard_on_both_sides(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    heard = read_audio(write_wav(tmp_path / "a.wav", noise(4800, 1), 48000), Listen(0, 4800, 48000))
    assert np.array_equal(heard[0], heard[1])
    assert heard.any()


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_channels_are_counted(
    layout: str, channels: int, tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    ffmpeg_run("-f", "lavfi", "-i", f"anullsrc=cl={layout}:r=48000", "-t", 0.1, tmp_path / "a.wav")
    assert channels_of(probe_audio(tmp_path / "a.wav").layout) == channels


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"nothing to hear")
    with pytest.raises(InvalidInput, match=r"a\.wav"):
        read_audio(tmp_path / "a.wav", Listen(0, 10, 48000))


def test_rates_that_aac_lacks_are_raised_to_the_next_one() -> None:
    assert [track_rate("aac", rate) for rate in (8000, 48000, 50000, 192000)] == [8000, 48000, 64000, 96000]
    assert track_rate("flac", 192000) == 192000


def test_silence_is_what_no_channel_plays(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    one = noise(48_000, 1)
    assert check_sound(write_wav(tmp_path / "zeros.wav", 0 * one, 48000), 1.0).silent
    assert not check_sound(write_wav(tmp_path / "mono.wav", one, 48000), 1.0).silent
    opposite = np.concatenate([one, -one])
    assert not check_sound(write_wav(tmp_path / "opposite.wav", opposite, 48000), 1.0).silent
    late = np.concatenate([np.zeros((1, 48_000), np.float32), one], axis=1)
    path = write_wav(tmp_path / "late.wav", late, 48000)
    assert [check_sound(path, seconds).silent for seconds in (0.9, 2.0)] == [True, False]


def test_what_is_promised_past_the_decoded_part_counts_too(
    tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_wav(tmp_path / "a.wav", noise(96_000), 48000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    monkeypatch.setattr(audio, "MOST_DECODED_S", 1.0)
    with pytest.raises(InvalidInput, match="cut short"):
        check_sound(path, 1.9)
    assert check_sound(path, 0.9).sample_rate == 48000
    assert check_sound(path, 0.900_011).sample_rate == 48000

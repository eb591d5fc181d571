"""The film's one track of sound, decoded again and compared sample by sample."""

from __future__ import annotations

import struct
import wave
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.media.boxes import read_movie
from actors.media.ffmpeg import find_ffmpeg
from actors.media.process import Call, compile_command, exchange
from actors.media.segment import encode_segment
from farm.output.soundtrack import soundtrack
from farm.output.stitch import assemble_film, film_command
from jobs.errors import InvalidInput
from jobs.formats import CONTAINERS
from jobs.frames import Span, audio_sample
from tests.sound_plans import one_track

if TYPE_CHECKING:
    from tests.conftest import Marks

LENGTHS = (33, 24, 0, 1, 3, 40)
AAC_PRIMING = 1024


def film_path(folder: Path, container: str) -> Path:
    return folder / f"film{CONTAINERS[container].suffix}"


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(samples))
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((samples.T * 32767).astype("<i2").tobytes())
    return path


def decoded_sound(film: Path) -> np.ndarray:
    """Every sample that a player would hear, float32 `[channels, samples]`, without any resampling."""
    import ffmpeg

    stream = ffmpeg.output(ffmpeg.input(str(film))["a:0"], "pipe:", **{"f": "f32le", "c:a": "pcm_f32le"})
    raw, _ = exchange(compile_command(stream), Call("hear the film", reads=film))
    return np.frombuffer(raw, "<f4").reshape(-1, 2).T


def melody(samples: int, sample_rate: int) -> np.ndarray:
    """Stereo sound without a period: a sweep and band-limited noise."""
    t = np.arange(samples) / sample_rate
    sweep = 0.4 * np.sin(2 * np.pi * (200 * t + 300 * t**2))
    noise = np.convolve(np.random.default_rng(0).normal(0, 0.2, samples + 15), np.ones(16) / 16, "valid")
    return np.stack([sweep + noise, sweep - noise]).clip(-1, 1).astype(np.float32)


def lag(heard: np.ndarray, original: np.ndarray) -> int:
    """Samples by which `heard` comes late, from the peak of the cross-correlation."""
    size = heard.shape[1] + original.shape[1]
    spectrum = np.fft.rfft(heard[0], size) * np.conj(np.fft.rfft(original[0], size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak - size if peak > size // 2 else peak


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("rate", "sample_rate", "seconds"), [(23.976, 48000, 9.0), (24.0, 44100, 1.0), (12.5, 44100, 9.0)]
)
def test_sound_is_exact_to_the_sample(
    container: str, rate: float, sample_rate: int, seconds: float, marks: Marks, tmp_path: Path
) -> None:
    """Shorter files are padded with silence, longer ones cut; both to the film's exact length."""
    original = melody(int(seconds * sample_rate), sample_rate)
    sound = one_track(write_wav(tmp_path / "a.wav", original, sample_rate), sample_rate)
    segments = marks.segments(tmp_path, "h264", LENGTHS, rate)
    facts = assemble_film(
        marks.video(LENGTHS, rate, sound), segments, container, film_path(tmp_path, container)
    )
    heard = decoded_sound(facts.path)
    samples = audio_sample(facts.frames, sample_rate, rate)
    if container != "mkv":
        track = read_movie(facts.path).track("soun")
        assert track is not None
        edit = track.edits[0]
        assert (edit.media_start, edit.duration) == (AAC_PRIMING, samples)
        heard = heard[:, :samples] if _ignores_edit_ends() else heard
    assert heard.shape == (2, samples)
    assert lag(heard, original) == 0
    common = min(samples, original.shape[1])
    error = heard[:, :common] - original[:, :common]
    assert np.abs(error).max() < 1e-4 if container == "mkv" else np.std(error) < 0.05
    assert np.abs(heard[:, common + AAC_PRIMING :]).max(initial=0) < 1e-3


def _ignores_edit_ends() -> bool:
    """Decoders before release 8 play the last AAC frame to its end, whatever the edit list says."""
    return (find_ffmpeg().major or 99) < 8


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_generated_sound_is_joined_without_a_gap(container: str, marks: Marks, tmp_path: Path) -> None:
    rate, sample_rate, lengths = 24.0, 44100, (33, 24, 0, 40)
    original = melody(audio_sample(sum(lengths), sample_rate, rate), sample_rate)
    segments, start = [], 0
    for index, count in enumerate(lengths):
        first, last = (audio_sample(f, sample_rate, rate) for f in (start, start + count))
        out = tmp_path / f"{index}.mov"
        sound = (original[:, first:last], sample_rate)
        segments.append(encode_segment(marks.frames(start, count), marks.params("h264", count), out, sound))
        start += count
    video = marks.video(lengths, rate, one_track(None, sample_rate))
    facts = assemble_film(video, segments, container, film_path(tmp_path, container))
    heard = decoded_sound(facts.path)[:, : original.shape[1]]
    assert heard.shape == original.shape
    assert lag(heard, original) == 0
    error = heard - original
    assert np.abs(error).max() < 1e-4 if container == "mkv" else np.std(error) < 0.05
    assert facts.frames == sum(lengths)


def test_the_cpus_instructions_do_not_reach_the_sound(marks: Marks, tmp_path: Path) -> None:
    video = marks.video((33,), 24.0)
    path = write_wav(tmp_path / "a.wav", melody(44100, 44100), 44100)
    sound = soundtrack(video, one_track(path), "aac", lambda _: tmp_path / "list")
    command = film_command(video, tmp_path / "list", sound, "mp4", tmp_path / "film.mp4")
    assert command[command.index("-cpuflags") + 1] == "0"


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (2, "stereo")])
def test_a_draft_has_the_channels_of_its_film(
    channels: int, layout: str, marks: Marks, tmp_path: Path
) -> None:
    """It hears the film's one track shot by shot."""
    video = marks.video((33,), 24.0)
    path = write_wav(tmp_path / "a.wav", melody(44100, 44100)[:channels], 44100)
    whole = one_track(path)
    parts = tuple(replace(whole.tracks[0], part=Span(*each)) for each in ((0, 12), (12, 33)))
    other = replace(whole.tracks[0], name="other")
    made = [
        soundtrack(video, replace(whole, tracks=tracks), "aac", lambda _: tmp_path / "list")
        for tracks in (whole.tracks, parts, (*whole.tracks, other))
    ]
    assert [each.layout for each in made] == [layout, layout, "stereo"]


def test_the_sound_of_a_rate_that_aac_lacks(marks: Marks, tmp_path: Path) -> None:
    sound = one_track(write_wav(tmp_path / "a.wav", melody(50000, 50000), 50000), 50000)
    segments = marks.segments(tmp_path, "h264", (24,), 24.0)
    facts = assemble_film(marks.video((24,), 24.0, sound), segments, "mp4", tmp_path / "film.mp4")
    track = read_movie(facts.path).track("soun")
    assert track is not None
    assert track.edits[0].duration == 64000


def test_a_broken_sound_file_is_the_users(marks: Marks, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    video = marks.video((9,), 24.0, one_track(tmp_path / "a.wav"))
    with pytest.raises(InvalidInput, match=r"a\.wav"):
        assemble_film(video, segments, "mp4", tmp_path / "film.mp4")


def test_a_soundtrack_that_is_no_number_is_the_users(marks: Marks, tmp_path: Path) -> None:
    """As one that changed after the spec was checked."""
    path = tmp_path / "nan.au"
    path.write_bytes(b".snd" + struct.pack(">5I", 24, 8 * 48_000, 6, 48_000, 2) + b"\x7f\xc0\0\0" * 96_000)
    segments = marks.segments(tmp_path, "h264", (24,), 24.0)
    video = marks.video((24,), 24.0, one_track(path))
    with pytest.raises(InvalidInput, match=r"nan\.au holds samples that are no finite numbers"):
        assemble_film(video, segments, "mp4", tmp_path / "film.mp4")

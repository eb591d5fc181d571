"""Films whose sound is mixed: every sample against a mix that numpy adds from what ffmpeg's own command line
makes of the files."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.media.ffmpeg import find_ffmpeg
from actors.media.segment import encode_segment
from actors.sound import mix
from farm.output.stitch import assemble_film
from jobs.errors import InvalidInput
from jobs.frames import Span, audio_sample
from jobs.sound.planned import PlannedDucking, PlannedSound, PlannedTrack
from tests.farm.output.test_stitch_sound import decoded_sound, melody
from tests.sound_plans import track

if TYPE_CHECKING:
    from tests.conftest import Marks

RATE = 48_000
LENGTHS = (33, 24, 0, 40)
LAST_BIT = 1.25 * 2.0**-23
"""Of the 24 that the film's FLAC has, and what float32 rounds."""
TONES = "0.3*sin(2*PI*(210*t+40*t*t))|0.25*cos(2*PI*333*t)"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds in the forms that people have: rates, channels, codecs."""
    folder = tmp_path_factory.mktemp("sounds")
    forms: dict[str, list[Any]] = {
        "mono.wav": ["-ac", 1, "-ar", 44_100],
        "score.mp3": ["-ar", 44_100],
        "voice.m4a": ["-ar", 48_000],
        "wide.flac": ["-ar", 96_000],
        "phone.opus": ["-ar", 48_000],
        "round.flac": ["-ar", 48_000, "-ac", 6],
    }
    source = ["-f", "lavfi", "-i", f"aevalsrc={TONES}:s=96000"]
    for name, form in forms.items():
        ffmpeg(*source, "-t", 2.5, *form, folder / name)
    return folder


def ffmpeg(*arguments: object) -> bytes:
    command = [find_ffmpeg().path, "-nostdin", "-v", "error", "-y", "-cpuflags", "0", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def heard(path: Path, channels: int) -> np.ndarray:
    """A file at the film's rate, float64 `[channels, samples]`, by ffmpeg's command line."""
    raw = ffmpeg("-i", path, "-af", f"aresample={RATE}", "-ac", channels, "-f", "f32le", "-")
    return np.frombuffer(raw, "<f4").reshape(-1, channels).T.astype(np.float64)


def laid(sound: np.ndarray, start: int, samples: int, stop: int | None = None) -> np.ndarray:
    """`sound` at sample `start` of a stereo film, cut at `stop`."""
    film = np.zeros((2, samples))
    low, high = max(start, 0), min(start + sound.shape[1], samples, samples if stop is None else stop)
    if low < high:
        film[:, low:high] = sound[:, low - start : high - start]
    return film


def film_sound(folder: Path, marks: Marks, rate: float, *tracks: PlannedTrack) -> np.ndarray:
    """What is heard in a film of `LENGTHS` with these tracks."""
    segments = marks.segments(folder, "h264", LENGTHS, rate)
    video = marks.video(LENGTHS, rate, PlannedSound(tracks, RATE))
    return decoded_sound(assemble_film(video, segments, "mkv", folder / "film.mkv").path)


@pytest.mark.parametrize("rate", [24.0, 23.976, 29.97])
def test_tracks_of_every_kind_are_added_to_the_sample(
    rate: float, files: Path, marks: Marks, tmp_path: Path
) -> None:
    shot: dict[str, Any] = {"start_frame": 33, "stop_frame": 57}
    found = film_sound(
        tmp_path,
        marks,
        rate,
        track(files / "score.mp3", gain_db=-6.0, delay_s=-0.5),
        track(files / "voice.m4a", delay_s=0.123, pan=0.5, **shot),
        track(files / "mono.wav", delay_s=0.7, pan=-0.25, seconds=1.1),
        track(files / "phone.opus", delay_s=-0.3, gain_db=2.0, **shot),
        track(files / "wide.flac", delay_s=20.0),
        track(files / "round.flac", delay_s=1.0, gain_db=-9.0),
    )
    total = audio_sample(sum(LENGTHS), RATE, rate)
    first, last = (audio_sample(frame, RATE, rate) for frame in (33, 57))
    voice, mono = heard(files / "voice.m4a", 2), heard(files / "mono.wav", 1)[0, : round(1.1 * RATE)]
    turn = np.pi / 4
    wanted = laid(heard(files / "score.mp3", 2), -RATE // 2, total) * 10 ** (-6 / 20)
    wanted += laid(
        np.stack([voice[0] * np.cos(turn), voice[1] + voice[0] * np.sin(turn)]),
        first + round(0.123 * RATE),
        total,
        last,
    )
    angle = 0.75 * np.pi / 4
    wanted += laid(np.stack([mono * np.cos(angle), mono * np.sin(angle)]), round(0.7 * RATE), total)
    wanted += laid(heard(files / "phone.opus", 2), first - round(0.3 * RATE), total, last) * 10 ** (2 / 20)
    wanted += laid(heard(files / "round.flac", 2), RATE, total) * 10 ** (-9 / 20)
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() < 1.0
    assert np.abs(found - wanted).max() <= LAST_BIT


def test_fades_end_where_the_file_does(files: Path, marks: Marks, tmp_path: Path) -> None:
    tracks = (
        track(files / "wide.flac", fade_in_s=0.5, fade_out_s=0.25, fade_curve="equal-power"),
        track(files / "score.mp3", delay_s=1.0, fade_out_s=0.75),
    )
    found = film_sound(tmp_path, marks, 24.0, *tracks)
    total = audio_sample(sum(LENGTHS), RATE, 24.0)
    wide, score = heard(files / "wide.flac", 2), heard(files / "score.mp3", 2)[:, : total - RATE]
    at, score_at = np.arange(wide.shape[1]), np.arange(score.shape[1])
    wide *= np.sin(np.minimum(at / (RATE // 2), 1) * np.pi / 2)
    wide *= np.sin(np.minimum(at[::-1] / (RATE // 4), 1) * np.pi / 2)
    score *= np.minimum(score_at[::-1] / (RATE * 3 // 4), 1)
    wanted = laid(wide, 0, total) + laid(score, RATE, total)
    assert np.abs(found - wanted).max() <= LAST_BIT


def test_parts_of_a_track_have_the_fades_of_the_whole(files: Path, marks: Marks, tmp_path: Path) -> None:
    whole = track(files / "voice.m4a", delay_s=0.2, fade_in_s=1.0, fade_out_s=1.5)
    parts = [replace(whole, part=Span(start, stop)) for start, stop in ((0, 12), (12, 33), (33, 97))]
    ways = {"parts": parts, "whole": [whole, replace(whole, delay_s=20.0)]}
    found = {}
    for name, tracks in ways.items():
        (tmp_path / name).mkdir()
        found[name] = film_sound(tmp_path / name, marks, 24.0, *tracks)
    assert np.abs(found["whole"]).max() > 0.1
    assert np.abs(found["parts"] - found["whole"]).max() <= LAST_BIT


def test_music_makes_room_for_a_voice(files: Path, marks: Marks, tmp_path: Path) -> None:
    duck = PlannedDucking(by_db=12.0, threshold_db=-40.0, attack_s=0.2, hold_s=0.1, release_s=0.4)
    voice = track(files / "voice.m4a", delay_s=1.0, seconds=1.0)
    music = track(files / "wide.flac", duck=duck)
    found = film_sound(tmp_path, marks, 24.0, voice, music)
    total = audio_sample(sum(LENGTHS), RATE, 24.0)
    down = np.interp(np.arange(total) / RATE, [0.8, 1.0, 2.1, 2.5], [0, -12, -12, 0])
    wanted = laid(heard(files / "wide.flac", 2), 0, total) * 10 ** (down / 20)
    wanted += laid(heard(files / "voice.m4a", 2)[:, :RATE], RATE, total)
    assert np.abs(found - wanted).max() < 1e-6


@pytest.mark.parametrize("own_rate", [RATE, 24_000])
def test_music_lies_under_sound_that_the_model_made(
    own_rate: int, files: Path, marks: Marks, tmp_path: Path
) -> None:
    """Shots may each have their own level; those without one are silent but for the music."""
    made = melody(audio_sample(sum(LENGTHS), own_rate, 24.0), own_rate)
    segments, start = [], 0
    for index, count in enumerate(LENGTHS):
        low, high = (audio_sample(frame, own_rate, 24.0) for frame in (start, start + count))
        sound = None if index == 0 else (made[:, low:high], own_rate)
        segments.append(
            encode_segment(
                marks.frames(start, count), marks.params("h264", count), tmp_path / f"{index}.mov", sound
            )
        )
        start += count
    tracks = (
        track(None, "dialogue", start_frame=33, stop_frame=57, shot=1),
        track(None, "answer", start_frame=57, stop_frame=97, shot=3, gain_db=-3.0),
        track(files / "score.mp3", gain_db=-12.0),
    )
    video = marks.video(LENGTHS, 24.0, PlannedSound(tracks, RATE))
    found = decoded_sound(assemble_film(video, segments, "mkv", tmp_path / "film.mkv").path)
    total, first, last = (audio_sample(frame, RATE, 24.0) for frame in (97, 33, 57))
    wanted = laid(heard(files / "score.mp3", 2), 0, total) * 10 ** (-12 / 20)
    if own_rate == RATE:
        wanted[:, first:last] += made[:, first:last]
        wanted[:, last:] += made[:, last:] * 10 ** (-3 / 20)
        assert np.abs(found - wanted).max() <= LAST_BIT
    assert np.abs(found[:, :first] - wanted[:, :first]).max() <= LAST_BIT
    assert found.shape == wanted.shape


def test_one_track_that_is_turned_keeps_its_channels(files: Path, marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    video = marks.video(LENGTHS, 24.0, PlannedSound((track(files / "round.flac", gain_db=-6.0),), RATE))
    film = assemble_film(video, segments, "mkv", tmp_path / "film.mkv").path
    found, wanted = heard(film, 6), heard(files / "round.flac", 6) * 10 ** (-6 / 20)
    assert np.abs(found[:, : wanted.shape[1]] - wanted).max() <= LAST_BIT


def test_the_size_of_blocks_does_not_reach_the_mix(
    files: Path, marks: Marks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duck = PlannedDucking(12.0, -40.0, 0.2, 0.1, 0.4)
    tracks = (
        track(files / "voice.m4a", delay_s=0.3, fade_out_s=0.3),
        track(files / "mono.wav", duck=duck, pan=0.3, fade_in_s=1.0),
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = film_sound(tmp_path / "a", marks, 24.0, *tracks)
    monkeypatch.setattr(mix, "BLOCK_HOPS", 7)
    assert np.array_equal(film_sound(tmp_path / "b", marks, 24.0, *tracks), whole)


def test_a_file_that_turned_bad_is_named(marks: Marks, tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc=0/0:s=48000", "-t", 1, "-c:a", "pcm_f32le", path)
    with pytest.raises(InvalidInput, match=r"nan\.wav holds samples that are no finite numbers"):
        film_sound(tmp_path, marks, 24.0, track(path), track(path, gain_db=-6.0))

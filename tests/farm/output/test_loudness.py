"""Loudness, clipping and stems of films, measured on what was delivered by ffmpeg's own command line."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.media.ffmpeg import find_ffmpeg
from farm.output.sound_files import write_stems
from farm.output.stitch import FilmFacts, assemble_film
from jobs.frames import audio_sample
from jobs.sound.planned import PlannedSound, PlannedTrack
from tests.farm.output.test_mix import LAST_BIT, LENGTHS, RATE, ffmpeg, heard
from tests.farm.output.test_stitch_sound import decoded_sound
from tests.sound_plans import track

if TYPE_CHECKING:
    from tests.conftest import Marks

CLICKS = "0.9*exp(-30*mod(t\\,0.5))*sin(2*PI*440*t)+0.02*sin(2*PI*90*t)"
"""Peaks far above the rest, as of a ball that bounces."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loud")
    for name, tones in (
        ("soft.wav", "0.05*sin(2*PI*300*t)|0.04*sin(2*PI*500*t)"),
        ("hot.wav", "0.8*sin(2*PI*250*t)|0.8*sin(2*PI*250*t)"),
        ("clicks.wav", f"{CLICKS}|{CLICKS}"),
        ("over.wav", "1.4*sin(2*PI*250*t)|1.4*sin(2*PI*250*t)"),
        ("silent.wav", "0|0"),
    ):
        ffmpeg("-f", "lavfi", "-i", f"aevalsrc={tones}:s={RATE}", "-t", 6, "-c:a", "pcm_f32le", folder / name)
    return folder


def film(
    marks: Marks, folder: Path, *tracks: PlannedTrack, loudness: float | None = None, container: str = "mp4"
) -> FilmFacts:
    segments = marks.segments(folder, "h264", LENGTHS, 24.0)
    video = marks.video(LENGTHS, 24.0, PlannedSound(tracks, RATE, loudness))
    return assemble_film(video, segments, container, folder / f"film.{container}")


def measured(path: Path) -> tuple[float, float]:
    """Integrated loudness, LUFS, and true peak, dBTP, of a film."""
    command = [find_ffmpeg().path, "-nostdin", "-hide_banner", "-i", str(path)]
    command += ["-af", "ebur128=peak=true:framelog=quiet", "-vn", "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = (re.findall(pattern, said)[-1] for pattern in (r"I:\s+(\S+) LUFS", r"Peak:\s+(\S+) dBFS"))
    level, peak = map(float, found)
    return level, peak


@pytest.mark.parametrize(
    ("names", "target", "limited", "container"),
    [
        (("soft.wav",), -14.0, False, "mp4"),
        (("soft.wav", "hot.wav"), -23.0, False, "mkv"),
        (("clicks.wav",), -14.0, True, "mp4"),
        (("clicks.wav", "soft.wav"), -13.0, True, "mkv"),
    ],
)
def test_a_film_has_the_loudness_that_it_is_to_have(
    names: tuple[str, ...],
    target: float,
    limited: bool,
    container: str,
    files: Path,
    marks: Marks,
    tmp_path: Path,
) -> None:
    tracks = (track(files / name) for name in names)
    made = film(marks, tmp_path, *tracks, loudness=target, container=container)
    level, peak = measured(made.path)
    assert abs(level - target) <= 0.5
    assert peak <= (-0.9 if container == "mkv" else 0.0)
    (line,) = made.said
    assert ("peaks limited to -1 dBTP" in line) == limited
    assert decoded_sound(made.path).shape[1] >= audio_sample(sum(LENGTHS), RATE, 24.0)


def test_what_needs_no_limiter_is_only_made_louder(files: Path, marks: Marks, tmp_path: Path) -> None:
    found = decoded_sound(
        film(marks, tmp_path, track(files / "soft.wav"), loudness=-20.0, container="mkv").path
    )
    wanted = heard(files / "soft.wav", 2)[:, : found.shape[1]]
    gain = float(np.vdot(wanted, found) / np.vdot(wanted, wanted))
    assert np.abs(found - gain * wanted).max() <= LAST_BIT


def test_the_limiter_moves_nothing(files: Path, marks: Marks, tmp_path: Path) -> None:
    found = decoded_sound(
        film(marks, tmp_path, track(files / "clicks.wav"), loudness=-12.0, container="mkv").path
    )
    assert found.shape[1] == audio_sample(sum(LENGTHS), RATE, 24.0)
    wanted = heard(files / "clicks.wav", 2)[0, : found.shape[1]]
    size = 2 * found.shape[1]
    match = np.fft.irfft(np.fft.rfft(found[0], size) * np.conj(np.fft.rfft(wanted, size)))
    assert int(np.argmax(match)) == 0


def test_silence_has_no_loudness(files: Path, marks: Marks, tmp_path: Path) -> None:
    made = film(marks, tmp_path, track(files / "silent.wav"), loudness=-14.0)
    assert "is silent" in made.said[0]


def test_a_mix_that_would_clip_is_quieter_and_says_so(files: Path, marks: Marks, tmp_path: Path) -> None:
    tracks = (track(files / "hot.wav"), track(files / "hot.wav"))
    made = film(marks, tmp_path, *tracks, container="mkv")
    found = decoded_sound(made.path)
    wanted = heard(files / "hot.wav", 2)[:, : found.shape[1]] / 0.8
    assert np.abs(found - wanted).max() < 1e-5
    assert "would clip, and is 4.1 dB quieter" in made.said[0]


def test_a_single_file_that_clips_is_named(files: Path, marks: Marks, tmp_path: Path) -> None:
    made = film(marks, tmp_path, track(files / "over.wav"))
    assert "passes full scale by 2.9 dB" in made.said[0]
    (tmp_path / "soft").mkdir()
    assert film(marks, tmp_path / "soft", track(files / "soft.wav")).said == ()


@pytest.mark.parametrize("loudness", [None, -23.0])
def test_stems_add_up_to_the_mix(loudness: float | None, files: Path, marks: Marks, tmp_path: Path) -> None:
    tracks = (
        track(files / "hot.wav", "voice", pan=-0.5),
        track(files / "soft.wav", "score", gain_db=-6.0, fade_in_s=1.0),
        track(files / "clicks.wav", "clicks", delay_s=1.0),
    )
    made = film(marks, tmp_path, *tracks, loudness=loudness, container="mkv")
    video = marks.video(LENGTHS, 24.0, PlannedSound(tracks, RATE, loudness))
    segments = marks.segments(tmp_path, "h264", LENGTHS, 24.0)
    stems = write_stems(video, segments, tmp_path)
    assert [stem.name for stem in stems] == ["voice.wav", "score.wav", "clicks.wav"]
    found = decoded_sound(made.path)
    assert np.abs(sum(heard(stem, 2) for stem in stems) - found).max() <= LAST_BIT

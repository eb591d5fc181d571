from __future__ import annotations

import hashlib
import io
import os
import pickle
import subprocess
import sys
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.media.codecs import png_name
from actors.media.frames import Cut, read_video
from actors.media.images import read_image
from actors.media.listing import packet_times
from actors.media.process import Call
from actors.media.segment import encode_segment
from farm.output.png_sequences import png_manifest
from farm.output.stitch import FilmSegment, assemble_film, write_list
from jobs.errors import CorruptArtifact, StageBug, StorageProblem
from jobs.formats import CONTAINERS
from jobs.frames import exact_rate
from jobs.hashing import sha256_of_file
from jobs.planning.output_names import PNG_SEQUENCE
from tests.sound_plans import one_track

if TYPE_CHECKING:
    from tests.conftest import Marks

RATES = (23.976, 24.0, 25.0, 29.97, 30.0, 60.0, 12.5)
LENGTHS = (33, 24, 0, 1, 3, 40)
PAIRS = [(container, codec) for container, form in CONTAINERS.items() for codec in form.codecs]


def film_path(folder: Path, container: str) -> Path:
    return folder / f"film{CONTAINERS[container].suffix}"


@pytest.fixture(scope="module")
def segments_of(
    marks: Marks, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, tuple[int, ...], float], list[Path]]:
    """Numbered segments, made once for all tests that only read them."""

    @cache
    def make(codec: str, lengths: tuple[int, ...], rate: float) -> list[Path]:
        return marks.segments(tmp_path_factory.mktemp("segments"), codec, lengths, rate)

    return make


def second_of_noise() -> bytes:
    """A WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(np.random.default_rng(0).integers(-9000, 9000, 88200, dtype=np.int16).tobytes())
    return buffer.getvalue()


def shown(film: Path, frames: int, frame_rate: float, marks: Marks) -> list[int]:
    if film.is_dir():
        return marks.numbers(np.stack([read_image(film / png_name(n), 64, 64) for n in range(frames)]))
    return marks.numbers(read_video(film, Cut(64, 64, frame_rate, frames)))


@pytest.mark.parametrize(("container", "codec"), PAIRS)
def test_every_frame_in_order_at_constant_distance(
    container: str, codec: str, marks: Marks, segments_of: Callable[..., list[Path]], tmp_path: Path
) -> None:
    for rate in RATES if codec == "h264" else RATES[:2]:
        segments = segments_of(codec, LENGTHS, rate)
        out = film_path(tmp_path / str(rate), container)
        facts = assemble_film(marks.video(LENGTHS, rate), segments, container, out)
        assert facts.frames == sum(LENGTHS)
        assert shown(facts.path, facts.frames, rate, marks) == list(range(facts.frames))
        if container in ("mp4", "mov"):
            times = list(packet_times(facts.path, Call("read the film")))
            assert times == [n / exact_rate(rate) for n in range(facts.frames)]


@pytest.mark.parametrize(("container", "codec"), PAIRS)
@pytest.mark.parametrize("threads", [1, 2])
def test_two_runs_give_the_same_bytes(
    container: str, codec: str, threads: int, marks: Marks, tmp_path: Path
) -> None:
    digests = set()
    (tmp_path / "a.wav").write_bytes(second_of_noise())
    sound = one_track(tmp_path / "a.wav")
    video = marks.video((20, 9), 23.976, sound)
    for run in ("one", "two"):
        folder = tmp_path / run
        folder.mkdir()
        segments = [
            encode_segment(
                marks.frames(start, count),
                marks.params(codec, count, 23.976, threads),
                folder / f"{start}.mov",
            )
            for start, count in ((0, 20), (20, 9))
        ]
        digests.add(assemble_film(video, segments, container, film_path(folder, container)).sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("codec", ["h264", "hevc", "ffv1", "prores", "png"])
def test_the_machines_cores_do_not_reach_the_bytes(codec: str, marks: Marks, tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    digests = set()
    try:
        for count in range(1, min(len(cores), 4) + 1):
            os.sched_setaffinity(0, set(sorted(cores)[:count]))
            out = encode_segment(marks.frames(0, 30), marks.params(codec, 30, threads=2), tmp_path / "a.mov")
            digests.add(sha256_of_file(out))
    finally:
        os.sched_setaffinity(0, cores)
    assert len(digests) == 1


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_the_index_stands_in_front(container: str, marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    facts = assemble_film(marks.video((9,)), segments, container, film_path(tmp_path, container))
    content = facts.path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_nothing_names_the_software_or_the_hour(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    for container in ("mp4", "mkv", "mov"):
        facts = assemble_film(marks.video((9,)), segments, container, film_path(tmp_path, container))
        assert b"Lavf6" not in facts.path.read_bytes()
        assert b"Lavf5" not in facts.path.read_bytes()


def test_facts_name_the_file(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", LENGTHS, 23.976)
    facts = assemble_film(marks.video(LENGTHS, 23.976), segments, "mp4", tmp_path / "new" / "film.mp4")
    assert facts.sha256 == hashlib.sha256(facts.path.read_bytes()).hexdigest()
    assert facts.frames == 101
    assert facts.fps == pytest.approx(24000 / 1001)
    assert [path.name for path in facts.path.parent.iterdir()] == ["film.mp4"]


def test_a_sequence_is_named_by_its_manifest(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "png", (5, 4), 24.0)
    facts = assemble_film(marks.video((5, 4)), segments, PNG_SEQUENCE, tmp_path / "film")
    names = [png_name(n) for n in range(9)]
    assert sorted(path.name for path in facts.path.iterdir()) == names
    listing = subprocess.run(
        ["sha256sum", *names], cwd=facts.path, capture_output=True, text=True, check=True
    )
    assert "".join(png_manifest(facts.path, 9)) == listing.stdout
    assert facts.sha256 == hashlib.sha256(listing.stdout.encode()).hexdigest()


def test_names_with_quotes_spaces_and_accents(marks: Marks, tmp_path: Path) -> None:
    folder = tmp_path / "it's a 'día' \\ %d"
    folder.mkdir()
    segments = marks.segments(folder, "h264", (9, 8), 24.0)
    facts = assemble_film(marks.video((9, 8)), segments, "mp4", folder / "the film's end.mp4")
    assert shown(facts.path, 17, 24.0, marks) == list(range(17))


def test_a_segment_of_another_length_is_refused(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    with pytest.raises(CorruptArtifact, match=r"segment 1 of film .* holds 8 frames where the plan has 16"):
        assemble_film(marks.video((9, 16)), segments, "mp4", tmp_path / "film.mp4")


def test_a_segment_of_other_settings_is_refused(marks: Marks, tmp_path: Path) -> None:
    first = marks.segments(tmp_path, "h264", (9,), 24.0)
    other = marks.segments(tmp_path, "hevc", (8,), 24.0)
    with pytest.raises(CorruptArtifact, match="other settings"):
        assemble_film(marks.video((9, 8)), first + other, "mp4", tmp_path / "film.mp4")
    slower = marks.segments(tmp_path, "h264", (8,), 23.976)
    with pytest.raises(CorruptArtifact, match="other settings"):
        assemble_film(marks.video((9, 8)), first + slower, "mp4", tmp_path / "film.mp4")


def test_a_torn_segment_is_refused(marks: Marks, tmp_path: Path) -> None:
    segments = marks.segments(tmp_path, "h264", (9, 8), 24.0)
    segments[1].write_bytes(segments[1].read_bytes()[:-200])
    with pytest.raises(CorruptArtifact):
        assemble_film(marks.video((9, 8)), segments, "mp4", tmp_path / "film.mp4")


def test_a_missing_segment_is_a_storage_problem(marks: Marks, tmp_path: Path) -> None:
    with pytest.raises(StageBug):
        assemble_film(marks.video((9, 8)), [], "mp4", tmp_path / "film.mp4")
    with pytest.raises(StorageProblem):
        assemble_film(marks.video((9,)), [tmp_path / "none.mov"], "mp4", tmp_path / "film.mp4")


LIMITED = """
import pickle, resource, sys
from pathlib import Path
video, segments, container, out = pickle.load(sys.stdin.buffer)
limit = int(sys.argv[1])
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from farm.output.png_sequences import png_manifest
from farm.output.stitch import assemble_film
from jobs.errors import StorageProblem
try:
    assemble_film(video, segments, container, out)
except StorageProblem as problem:
    print(problem)
"""


@pytest.mark.parametrize("container", ["mp4", "mkv", PNG_SEQUENCE])
def test_no_room_names_the_film_and_the_need(container: str, marks: Marks, tmp_path: Path) -> None:
    codec = CONTAINERS[container].codecs[0]
    segments = marks.segments(tmp_path, codec, (60, 60), 24.0)
    out = tmp_path / "films" / f"film{CONTAINERS[container].suffix}"
    order = pickle.dumps((marks.video((60, 60)), segments, container, out))
    limit = 200 if container == PNG_SEQUENCE else 6000
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit)], input=order, capture_output=True, check=False
    )
    answer = done.stdout.decode()
    need_bytes = sum(path.stat().st_size for path in segments)
    assert f"could not write the film of film: {out}: the disk is full" in answer, done.stderr.decode()
    assert f"{need_bytes:,} bytes" in answer


def test_room_is_checked_before_a_byte_is_written(
    marks: Marks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = marks.segments(tmp_path, "h264", (9,), 24.0)
    monkeypatch.setattr("actors.media.process.free_bytes", lambda _: 100)
    with pytest.raises(StorageProblem, match="100 bytes are free"):
        assemble_film(marks.video((9,)), segments, "mp4", tmp_path / "film.mp4")


@pytest.mark.parametrize("rate", [23.976, 29.97, 59.94, 33.333])
def test_durations_never_drift(rate: float, tmp_path: Path) -> None:
    """Ten thousand segments: the sum of the listed durations stays within a microsecond of the truth."""
    lengths = [8, 7, 1] * 3333
    starts = np.cumsum([0, *lengths]).tolist()
    pieces = [FilmSegment(tmp_path / f"{n}.mov", start, n) for start, n in zip(starts, lengths, strict=False)]
    lines = write_list(pieces, rate, tmp_path / "list").read_text().splitlines()
    durations = [int(line.split()[1][:-2]) for line in lines if line.startswith("duration")]
    assert len(durations) == len(lengths)
    exact = np.array([piece.start + piece.frames for piece in pieces]) / np.float64(exact_rate(rate)) * 1e6
    assert np.abs(np.cumsum(durations) - exact).max() <= 0.51


@pytest.mark.slow
def test_ten_thousand_segments(marks: Marks, tmp_path: Path) -> None:
    lengths = [3, 1] * 5000
    encoded = {n: encode_segment(marks.frames(0, n), marks.params("h264", n, 23.976), tmp_path / f"{n}.mov")
               for n in (1, 3)}  # fmt: skip
    facts = assemble_film(
        marks.video(lengths, 23.976), [encoded[n] for n in lengths], "mp4", tmp_path / "film.mp4"
    )
    assert facts.frames == 20000

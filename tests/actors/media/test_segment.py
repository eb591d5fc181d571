from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.media.boxes import read_movie
from actors.media.codecs import KEYFRAME_SECONDS
from actors.media.frames import Cut, read_video
from actors.media.listing import packet_times
from actors.media.process import Call, exchange, run
from actors.media.segment import crossfade, encode_segment, segment_command
from jobs.errors import BadOutput, StageBug
from jobs.formats import CODECS
from jobs.frames import exact_rate

if TYPE_CHECKING:
    from tests.conftest import Marks

RATES = (23.976, 24.0, 25.0, 29.97, 30.0, 60.0, 12.5)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("count", [1, 8, 24, 254, 255, 256, 300])
def test_crossfade_rounds_half_up_in_whole_numbers(count: int) -> None:
    random = np.random.default_rng(count)
    head = random.integers(0, 256, (count, 3, 5, 3), dtype=np.uint8)
    tail = random.integers(0, 256, (count, 3, 5, 3), dtype=np.uint8)
    tail[0], head[0] = 255, 255
    new = np.arange(1, count + 1).reshape(-1, 1, 1, 1)
    doubled = 2 * (head.astype(np.int64) * new + tail.astype(np.int64) * (count + 1 - new))
    expected = (doubled + count + 1) // (2 * (count + 1))
    assert np.array_equal(crossfade(head, tail), expected)


def test_crossfade_of_equal_frames_changes_nothing(marks: Marks) -> None:
    frames = marks.frames(100, 16)
    assert np.array_equal(crossfade(frames, frames), frames)


def test_crossfade_covers_frames_larger_than_a_block() -> None:
    head = np.full((2, 300, 500, 3), 9, np.uint8)
    tail = np.full((2, 300, 500, 3), 0, np.uint8)
    assert np.array_equal(crossfade(head, tail)[:, 0, 0, 0], [3, 6])
    assert (crossfade(head, tail) == crossfade(head, tail)[:, :1, :1]).all()


def test_crossfade_takes_views(marks: Marks) -> None:
    frames = marks.frames(0, 32)
    assert np.array_equal(
        crossfade(frames[::2], frames[1::2]), crossfade(frames[::2].copy(), frames[1::2].copy())
    )


def test_crossfade_refuses_unequal_shapes(marks: Marks) -> None:
    with pytest.raises(StageBug):
        crossfade(marks.frames(0, 2), marks.frames(0, 3))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("threads", [1, 3])
def test_equal_frames_give_equal_bytes(codec: str, threads: int, marks: Marks, tmp_path: Path) -> None:
    params = marks.params(codec, 40, 23.976, threads)
    first = encode_segment(marks.frames(0, 40), params, tmp_path / "first.mov")
    second = encode_segment([marks.frames(0, 16), marks.frames(16, 24)], params, tmp_path / "second.mov")
    assert sha256(first) == sha256(second)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", RATES)
def test_every_frame_is_there_and_equally_long(codec: str, rate: float, marks: Marks, tmp_path: Path) -> None:
    out = encode_segment(marks.frames(7, 33), marks.params(codec, 33, rate), tmp_path / "segment.mov")
    times = list(packet_times(out, Call("read the segment")))
    assert times == [n / exact_rate(rate) for n in range(33)]
    assert marks.numbers(read_video(out, Cut(64, 64, rate, 33))) == list(range(7, 40))
    track = read_movie(out).track("vide")
    assert track
    assert track.samples == 33
    assert not track.reordered


@pytest.mark.parametrize("codec", ["ffv1", "png"])
def test_lossless_codecs_keep_every_bit(codec: str, marks: Marks, tmp_path: Path) -> None:
    frames = np.random.default_rng(3).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    out = encode_segment(frames, marks.params(codec, 5), tmp_path / "segment.mov")
    assert np.array_equal(read_video(out, Cut(64, 64, 24.0, 5)), frames)


@pytest.mark.parametrize("codec", ["h264", "hevc", "prores"])
def test_colours_survive(codec: str, marks: Marks, tmp_path: Path) -> None:
    colours = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [255, 255, 255], [200, 120, 30]]
    )
    frames = np.broadcast_to(colours[:, None, None, :], (6, 64, 64, 3)).astype(np.uint8)
    out = encode_segment(frames, marks.params(codec, 6), tmp_path / "segment.mov")
    seen = read_video(out, Cut(64, 64, 24.0, 6))[:, 8:-8, 8:-8].astype(int)
    assert np.abs(seen - frames[:, 8:-8, 8:-8]).max() <= 4
    assert b"nclc\x00\x01\x00\x01\x00\x01" in out.read_bytes()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_luma_follows_bt709(codec: str, marks: Marks, tmp_path: Path) -> None:
    green = np.broadcast_to(np.array([0, 255, 0], np.uint8), (3, 64, 64, 3))
    out = encode_segment(np.ascontiguousarray(green), marks.params(codec, 3), tmp_path / "segment.mov")
    import ffmpeg

    from actors.media.process import compile_command

    command = compile_command(ffmpeg.output(ffmpeg.input(str(out)), "pipe:", f="rawvideo", pix_fmt="yuv420p"))
    planes, _ = exchange(command, Call("read luma"))
    luma = np.frombuffer(planes, np.uint8)[: 64 * 64]
    assert abs(int(np.median(luma)) - round(16 + 219 * 0.7152)) <= 1


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_groups_of_pictures_are_closed_and_short(codec: str, marks: Marks, tmp_path: Path) -> None:
    count = 5 * 24
    out = encode_segment(
        np.zeros((count, 64, 64, 3), np.uint8), marks.params(codec, count), tmp_path / "s.mov"
    )
    import ffmpeg

    from actors.media.process import compile_command

    listing, _ = exchange(
        compile_command(ffmpeg.output(ffmpeg.input(str(out)), "pipe:", c="copy", f="framecrc")), Call("list")
    )
    lines = [line for line in listing.decode().splitlines() if line.startswith("0,")]
    keys = [n for n, line in enumerate(lines) if "F=0x0" not in line]
    assert keys[0] == 0
    assert max(np.diff([*keys, count])) <= KEYFRAME_SECONDS * 24


def test_no_frames_make_an_empty_file(marks: Marks, tmp_path: Path) -> None:
    assert encode_segment([], marks.params("h264", 0), tmp_path / "empty.mov").read_bytes() == b""


@pytest.mark.parametrize("fed", [3, 5])
def test_a_wrong_number_of_frames_is_refused(fed: int, marks: Marks, tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match=f"{fed} frames came for a segment of 4"):
        encode_segment(marks.frames(0, fed), marks.params("h264", 4), tmp_path / "segment.mov")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused(marks: Marks, tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="not uint8"):
        encode_segment(np.zeros((4, 32, 64, 3), np.uint8), marks.params("h264", 4), tmp_path / "segment.mov")


def test_sound_is_kept_to_the_bit(marks: Marks, tmp_path: Path) -> None:
    sound = np.random.default_rng(1).uniform(-1, 1, (2, 8008)).astype(np.float32)
    out = encode_segment(
        marks.frames(0, 4), marks.params("h264", 4), tmp_path / "segment.mov", (sound, 48000)
    )
    import ffmpeg

    from actors.media.process import compile_command

    stream = ffmpeg.output(ffmpeg.input(str(out))["a:0"], "pipe:", **{"f": "f32le", "c:a": "pcm_f32le"})
    raw, _ = exchange(compile_command(stream), Call("read sound"))
    assert np.array_equal(np.frombuffer(raw, "<f4").reshape(-1, 2).T, sound)
    assert [path.name for path in tmp_path.iterdir()] == ["segment.mov"]


@pytest.mark.parametrize("codec", CODECS)
def test_the_cpus_instructions_do_not_reach_the_bytes(codec: str, marks: Marks, tmp_path: Path) -> None:
    params = marks.params(codec, 12)
    frames = np.random.default_rng(5).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    digests = set()
    for plain in (False, True):
        command = segment_command(params, tmp_path / "segment.mov", None)
        if plain:
            command[1:1] = ["-cpuflags", "0"]
            for option in {"-x264-params", "-x265-params"} & set(command):
                command[command.index(option) + 1] += ":asm=0"
        run(command, Call("encode"), [frames.data.cast("B")])
        digests.add(sha256(tmp_path / "segment.mov"))
    assert len(digests) == 1


@pytest.mark.parametrize("codec", CODECS)
def test_thread_counts_never_come_from_the_machine(codec: str, marks: Marks, tmp_path: Path) -> None:
    command = segment_command(marks.params(codec, 4, threads=3), tmp_path / "segment.mov", None)
    assert command[command.index("-threads", command.index("-i")) + 1] == "3"
    if codec == "hevc":
        assert "pools=3:frame-threads=3" in command[command.index("-x265-params") + 1]

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest

from actors.media.probe import probe_video
from actors.media.process import Call, disk_full, exchange, explain, read_lines, require_room, run
from jobs.errors import InvalidInput, OutOfMemory, StageBug, StorageProblem

WRITES = Call("write a film", writes=Path("/films/dawn.mp4"), need_bytes=5_000_000)
READS = Call("read the video", reads=Path("/nfs/shot.mp4"))
UNREADABLE = Path("/proc/self/mem")
"""Any read of its first byte is an input/output error."""


@pytest.mark.parametrize(
    "message",
    ["av_interleaved_write_frame(): No space left on device", "File too large", "Disk quota exceeded"],
)
def test_a_full_disk_names_the_path_and_the_need(message: str) -> None:
    error = explain(228, message, WRITES)
    assert isinstance(error, StorageProblem)
    assert "/films/dawn.mp4" in str(error)
    assert "5,000,000 bytes" in str(error)


def test_a_file_size_limit_counts_as_a_full_disk() -> None:
    assert isinstance(explain(-signal.SIGXFSZ, "", WRITES), StorageProblem)


def test_a_refused_file_is_a_storage_problem() -> None:
    assert isinstance(explain(1, "/films/dawn.mp4: Permission denied", WRITES), StorageProblem)


@pytest.mark.parametrize("told", ["Input/output error", "Stale file handle", "Permission denied"])
def test_a_source_that_the_storage_refuses_is_a_storage_problem(told: str) -> None:
    error = explain(1, f"/nfs/shot.mp4: {told}", READS)
    assert isinstance(error, StorageProblem)
    assert error.path == "/nfs/shot.mp4"
    assert told in str(error)
    assert "resume the job" in str(error)


def test_a_source_on_a_broken_disk_is_a_storage_problem() -> None:
    with pytest.raises(StorageProblem, match=r"/proc/self/mem: .*Input/output error"):
        probe_video(UNREADABLE)


def test_a_source_that_breaks_off_is_not_taken_for_a_short_one() -> None:
    told = "[in#0/mov @ 0x55] Error during demuxing: Stale file handle"
    command = [sys.executable, "-c", f"import sys; print('frame'); print({told!r}, file=sys.stderr)"]
    for end in (exchange, lambda *read: list(read_lines(*read))):
        with pytest.raises(StorageProblem, match="Stale file handle"):
            end(command, READS)
        end(command, Call("try"))


def test_a_killed_ffmpeg_ran_out_of_memory() -> None:
    assert isinstance(explain(-signal.SIGKILL, "", WRITES), OutOfMemory)


def test_an_unreadable_file_is_the_users() -> None:
    error = explain(
        1, "moov atom not found\nInvalid data found", Call("read the video", reads=Path("shot.mp4"))
    )
    assert isinstance(error, InvalidInput)
    assert "shot.mp4: Invalid data found" in str(error)


def test_a_crash_on_a_users_file_says_so() -> None:
    error = explain(-signal.SIGSEGV, "", Call("read the video", reads=Path("shot.ts")))
    assert isinstance(error, InvalidInput)
    assert "shot.ts: ffmpeg crashed (signal 11)" in str(error)


def test_anything_else_is_a_bug() -> None:
    assert isinstance(explain(1, "Unrecognized option", Call("write a film")), StageBug)


def test_room_is_checked_before_work(tmp_path: Path) -> None:
    require_room(Call("write", writes=tmp_path / "new" / "film.mp4", need_bytes=1))
    with pytest.raises(StorageProblem, match=r"film\.mp4: the disk is full \(needs "):
        require_room(Call("write", writes=tmp_path / "new" / "film.mp4", need_bytes=1 << 60))


def test_a_program_that_is_not_there_is_reported() -> None:
    with pytest.raises(StageBug, match="does not start"):
        exchange(["/nonexistent/ffmpeg"], Call("try"))
    with pytest.raises(StageBug, match="does not start"):
        run(["/nonexistent/ffmpeg"], Call("try"))


@pytest.mark.parametrize("start", [exchange, run])
def test_a_program_for_which_there_is_no_memory_ran_out_of_it(
    start: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(OutOfMemory, match="give the worker more memory"):
        start(["ffmpeg"], Call("try"))  # type: ignore[operator]


def test_feeding_a_program_that_ends_early_reports_its_own_error() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('Unrecognized option')"]
    with pytest.raises(StageBug, match="Unrecognized option"):
        run(command, Call("try"), (bytes(1 << 20) for _ in range(64)))


def test_lines_are_whole_across_blocks() -> None:
    command = [sys.executable, "-c", "for n in range(30000): print('line', n)"]
    assert list(read_lines(command, Call("read"))) == [f"line {n}" for n in range(30000)]


def test_a_reader_that_stops_early_leaves_no_process_behind() -> None:
    command = [sys.executable, "-c", "while True: print('x' * 1000)"]
    lines = cast("Generator[str]", read_lines(command, Call("read")))
    next(lines)
    lines.close()
    children = subprocess.run(["ps", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False)
    assert "while True" not in children.stdout


# What is compiled under the limit would be kept cut off.
LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from actors.media.segment import encode_segment
from jobs.errors import StorageProblem
from jobs.planning.params import SegmentParams
params = SegmentParams(64, 64, 24.0, 0, 24, sys.argv[1], "", 0, "veryfast", sys.argv[2], 1)
frames = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
try:
    encode_segment(frames, params, Path(sys.argv[3]))
except StorageProblem as problem:
    print(problem)
"""


@pytest.mark.parametrize(
    ("codec", "pixels"), [("h264", "yuv420p"), ("ffv1", "bgr0"), ("prores", "yuv422p10le")]
)
def test_a_segment_that_finds_no_room_says_so(codec: str, pixels: str, tmp_path: Path) -> None:
    out = tmp_path / "segment.mov"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, codec, pixels, str(out)], capture_output=True, text=True, check=False
    )
    assert f"{out}: the disk is full" in done.stdout, done.stderr
    assert not out.exists()


def test_disk_full_says_how_much_is_free(tmp_path: Path) -> None:
    assert "are free" in str(disk_full(Call("write", writes=tmp_path / "film.mp4")))


def test_of_a_long_report_the_telling_line_is_said() -> None:
    messages = (
        "[aac @ 0x55d0c8] Input contains (near) NaN/+-Inf\n"
        "[aost#0:0/aac @ 0x55d0d1] Error submitting audio frame to the encoder\n"
        "Conversion failed!\n"
    )
    said = str(explain(1, messages, Call("write the film")))
    assert said == (
        "could not write the film: ffmpeg: [aac] Input contains (near) NaN/+-Inf; "
        "where another ffmpeg says so too, report it"
    )

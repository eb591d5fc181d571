"""Run ffmpeg: feed raw frames to it, read raw frames from it, and turn its failures into the error tree."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from actors.media.ffmpeg import find_ffmpeg
from actors.media.opening import REFUSED, refused_format
from jobs.errors import InvalidInput, OutOfMemory, StageBug, StageError, StorageProblem
from jobs.storage_problems import FULL, storage_problem

PIPE_BYTES = 1 << 20
MESSAGE_BYTES = 2000
LINE_BLOCK_BYTES = 1 << 16

DISK_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
DISK_REFUSED = ("Permission denied", "Read-only file system", "Input/output error", "Stale file handle")
TELLING = re.compile(
    r"(?i)\b(error|invalid|unsupported|cannot|could not|failed to|unable|contains|not found)\b"
)
ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
BROKEN_OFF = r"(?:.*Error during demuxing|{path}): (?:{refused})"
"""A line about a file that can no longer be read; releases before 6 name the file in it."""
NO_TRACK = "matches no streams"
TAGS = re.compile(r"^(?:\[[^\]]*\]\s*)+")
FOLLOWS = re.compile(
    r"Task finished with error|Terminating thread|^Error opening (?:in|out)put files?\b|^Conversion"
)
"""Lines that follow from the one that says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of ffmpeg, named for messages.

    `what` completes "could not ...". `reads` is the user's file, `writes` the file or folder being made,
    `need_bytes` about how much room it takes.
    """

    what: str
    reads: Path | None = None
    writes: Path | None = None
    need_bytes: int = 0


def compile_command(stream: Any, log_level: str = "error") -> list[str]:
    """Command line of an ffmpeg-python output stream, never asking, overwriting its output."""
    import ffmpeg

    quiet = stream.global_args("-hide_banner", "-nostdin", "-loglevel", log_level)
    return list(ffmpeg.compile(quiet, cmd=find_ffmpeg().path, overwrite_output=True))


def run(command: list[str], call: Call, feed: Iterable[memoryview | bytes] = ()) -> bytes:
    """Run `command`, write `feed` to its standard input, return its standard output.

    Only for commands whose output stays small until the feed ends. Raises StorageProblem when the disk
    refuses, InvalidInput when `call.reads` cannot be read, OutOfMemory when ffmpeg is killed or there is no
    memory to start it, else StageBug.
    """
    return _fed(command, call, feed)[0]


def listen(command: list[str], call: Call, feed: Iterable[memoryview | bytes]) -> str:
    """As `run`, for a command that says its result in its messages: these."""
    return _fed(command, call, feed)[1]


def _fed(command: list[str], call: Call, feed: Iterable[memoryview | bytes]) -> tuple[bytes, str]:
    with _started(command, call) as (process, messages):
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            _widen(pipe)
            for piece in feed:
                _write_all(pipe, piece)
                # It may be gigabytes, and the feed makes the next one now.
                del piece
        output = process.stdout.read()
        _finish(process, messages, call)
        messages.seek(0)
        return output, messages.read().decode(errors="replace")


def exchange(command: list[str], call: Call, data: bytes = b"") -> tuple[bytes, str]:
    """Run `command` on `data`; its standard output and its messages. Raises as `run`."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except OSError as error:
        raise _does_not_start(command, call, error) from error
    messages = done.stderr.decode(errors="replace")
    if done.returncode:
        raise explain(done.returncode, messages[-MESSAGE_BYTES:], call)
    _require_whole(messages.splitlines(), call)
    return done.stdout, messages


def read_blocks(command: list[str], call: Call, block_bytes: int) -> Iterator[bytearray]:
    """Standard output of `command` in blocks of `block_bytes`, the last one maybe shorter.

    Stops ffmpeg when the reader stops early. Raises as `run`.
    """
    with _started(command, call) as (process, messages):
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        _widen(process.stdout)
        while True:
            block = bytearray(block_bytes)
            filled = _fill(process.stdout, block)
            if filled:
                yield block if filled == block_bytes else block[:filled]
            if filled < block_bytes:
                break
        _finish(process, messages, call)


def _write_all(pipe: IO[bytes], piece: memoryview | bytes) -> None:
    """An unbuffered pipe may take less than it is given."""
    rest = memoryview(piece)
    while rest:
        rest = rest[pipe.write(rest) :]


def read_lines(command: list[str], call: Call) -> Iterator[str]:
    """Standard output of `command`, a line at a time. Raises as `run`."""
    rest = b""
    for block in read_blocks(command, call, LINE_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        yield from (line.decode() for line in lines)
    if rest:
        yield rest.decode()


def _fill(pipe: IO[bytes], block: bytearray) -> int:
    view, filled = memoryview(block), 0
    while filled < len(block):
        got = pipe.readinto(view[filled:])  # type: ignore[attr-defined]
        if not got:
            break
        filled += got
    return filled


@contextlib.contextmanager
def _started(command: list[str], call: Call) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A running ffmpeg with pipes for input and output and a file for messages; never left behind."""
    with tempfile.TemporaryFile() as messages:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, bufsize=0
            )
        except OSError as error:
            raise _does_not_start(command, call, error) from error
        try:
            yield process, messages
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]
            process.wait()


def _does_not_start(command: list[str], call: Call, error: OSError) -> StageError:
    message = f"could not {call.what}: {command[0]} does not start ({error})"
    if error.errno == errno.ENOMEM:
        return OutOfMemory(f"{message}; give the worker more memory")
    return StageBug(f"{message}; reinstall ffmpeg")


def _widen(pipe: IO[bytes]) -> None:
    """Larger pipes mean fewer wake-ups per frame; the system may refuse, and nothing depends on it."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _finish(process: subprocess.Popen[bytes], messages: IO[bytes], call: Call) -> None:
    code = process.wait()
    messages.seek(0)
    if code:
        raise explain(code, messages.read(MESSAGE_BYTES).decode(errors="replace"), call)
    _require_whole((line.decode(errors="replace").rstrip() for line in messages), call)


def _require_whole(messages: Iterable[str], call: Call) -> None:
    """Raise StorageProblem where the storage refused the rest of `call.reads`: to ffmpeg that is its end."""
    if not call.reads:
        return
    pattern = BROKEN_OFF.format(path=re.escape(str(call.reads)), refused="|".join(DISK_REFUSED))
    for line in messages:
        if re.fullmatch(pattern, line):
            raise _source_refused(line, call)


def explain(code: int, messages: str, call: Call) -> StageError:
    """The error that an exit code and the messages of ffmpeg stand for."""
    if code == -signal.SIGXFSZ or any(text in messages for text in DISK_FULL):
        return disk_full(call)
    if call.writes and str(call.writes.parent) in messages and any(text in messages for text in DISK_REFUSED):
        return storage_problem(
            OSError(_last_line(messages, code)), str(call.writes), before=f"could not {call.what}"
        )
    if code == -signal.SIGKILL or "Cannot allocate memory" in messages:
        return OutOfMemory(f"could not {call.what}: ffmpeg ran out of memory; give the worker more memory")
    if call.reads and any(text in messages for text in DISK_REFUSED):
        return _source_refused(_last_line(messages, code), call)
    if call.reads and REFUSED.search(messages):
        return refused_format(call.reads)
    if call.reads and NO_TRACK in messages:
        return InvalidInput(f"could not {call.what}: {call.reads} holds none; name a file that does")
    if call.reads:
        return InvalidInput(
            f"could not {call.what}: {call.reads}: {_last_line(messages, code)}; "
            "name a file that ffmpeg can read, or convert it first"
        )
    return StageBug(
        f"could not {call.what}: {_telling_line(messages, code)}; where another ffmpeg says so too, report it"
    )


def _source_refused(message: str, call: Call) -> StorageProblem:
    message = f"{message} (replace the file if it is damaged)"
    return storage_problem(OSError(message), str(call.reads), before=f"could not {call.what}")


def disk_full(call: Call) -> StorageProblem:
    """The disk under `call.writes` is full: says which, how much the file needs and how much is free."""
    place = call.writes or Path.cwd()
    error = OSError(errno.ENOSPC, "")
    return storage_problem(error, str(place), call.need_bytes, free_bytes(place), f"could not {call.what}")


def require_room(call: Call) -> None:
    """Raise StorageProblem before any work when the disk under `call.writes` has no room for it."""
    if call.writes and call.need_bytes > free_bytes(call.writes):
        raise disk_full(call)


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path` or its nearest folder that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def refused(error: OSError, call: Call) -> StorageProblem:
    """The problem that an error of the file system is, while the call was at work."""
    if error.errno in FULL:
        return disk_full(call)
    return storage_problem(error, str(error.filename or call.writes), before=f"could not {call.what}")


def _telling_line(messages: str, code: int) -> str:
    """The line of ffmpeg's that says what went wrong, without the addresses in it: the last one often does
    not."""
    telling = [line for line in messages.splitlines() if TELLING.search(line)]
    return f"ffmpeg: {ADDRESS.sub('', (telling or [_last_line(messages, code)])[0]).strip()}"


def _last_line(messages: str, code: int) -> str:
    """The last line that says why, without ffmpeg's tags of its own parts."""
    if code < 0:
        return f"ffmpeg crashed (signal {-code})"
    lines = [TAGS.sub("", line) for line in messages.strip().splitlines()]
    telling = [line for line in lines if line and not FOLLOWS.search(line)]
    return (telling or lines or [f"ffmpeg said nothing and ended with {code}"])[-1]


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk, so that a rename after it cannot outlive its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Each segment is encoded once a session, and each film joined once: hundreds of tests render the same film.

ffmpeg gives equal bytes for an equal command and equal frames, which `tests/actors/media` and
`tests/farm/output` hold it to; a later encoding of what was encoded before is a copy, and so is a later film
of equal segments. Frames are consumed, checked and written as ever.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.media.frames import frame_at
from actors.media.listing import packet_times
from jobs.hashing import sha256_of_file

if TYPE_CHECKING:
    from actors.media.process import Call

Run = Callable[..., bytes]
LISTED = re.compile(r"^file '(.*)'$", re.MULTILINE)


def encoded_once(run: Run, folder: Path) -> Run:
    """`run` of `actors.media.process` that keeps in `folder` what it made; with sound, which it is given as a
    file, it keeps nothing."""

    def run_once(command: list[str], call: Call, feed: Iterable[memoryview | bytes] = ()) -> bytes:
        if call.writes is None or "f32le" in command:
            return run(command, call, feed)
        pieces = [bytes(piece) for piece in feed]
        plain = "\0".join(command).replace(str(call.writes), "")
        kept = folder / hashlib.sha256(b"\0".join([plain.encode(), *pieces])).hexdigest()
        if kept.exists():
            shutil.copyfile(kept, call.writes)
            return b""
        output = run(command, call, pieces)
        _keep(call.writes, kept)
        return output

    return run_once


def joined_once(run: Callable[..., Any], folder: Path, said: Any) -> Callable[..., Any]:
    """`run` or `exchange` of `actors.media.process`, for commands that copy the segments of one playlist into
    a film; of a film that is there it answers `said`. A film with sound is made each time."""

    def run_once(command: list[str], call: Call, *feed: Any) -> Any:
        playlist = command[command.index("-i") + 1]
        if command.count("-i") != 1 or not playlist.endswith(".ffconcat"):
            return run(command, call, *feed)
        out = next(Path(word) for word in reversed(command) if word.startswith("/"))
        listed = LISTED.sub(_content, Path(playlist).read_text())
        plain = "\0".join("" if word in (playlist, str(out)) else word for word in command)
        kept = folder / hashlib.sha256(f"{plain}\0{listed}".encode()).hexdigest()
        if kept.exists():
            shutil.copyfile(kept, out)
            return said
        output = run(command, call, *feed)
        _keep(out, kept)
        return output

    return run_once


def times_once() -> Callable[[Path, Call], Iterator[Fraction]]:
    """`packet_times` of `actors.media.listing`, which lists the packets of equal files once."""
    known: dict[str, list[Fraction]] = {}

    def times(path: Path, call: Call) -> Iterator[Fraction]:
        digest = sha256_of_file(path)
        if digest not in known:
            known[digest] = list(packet_times(path, call))
        return iter(known[digest])

    return times


def pictures_once() -> Callable[..., bytes]:
    """`frame_at` of `actors.media.frames`, which reads a frame of equal films once."""
    known: dict[tuple[Any, ...], bytes] = {}

    def picture(film: Path, *which: Any) -> bytes:
        if film.is_dir():
            return frame_at(film, *which)
        key = (sha256_of_file(film), *which)
        if key not in known:
            known[key] = frame_at(film, *which)
        return known[key]

    return picture


def _content(line: re.Match[str]) -> str:
    return sha256_of_file(Path(line[1].replace(r"'\''", "'")))


def _keep(made: Path, kept: Path) -> None:
    fresh = kept.with_name(secrets.token_hex(8))
    shutil.copyfile(made, fresh)
    fresh.rename(kept)

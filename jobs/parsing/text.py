"""The text of a spec, bounded before it is parsed: a regular file of at most 2 MB of UTF-8 without control
characters."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path

from jobs.errors import Problem, SpecError
from jobs.places import nearest

MAX_TEXT_BYTES = 2_000_000
MAX_FULL_BYTES = 16_000_000
"""Of a spec written out in full, as a run directory and a mapping may have it: with absolute paths."""
RULE = "a readable UTF-8 text file"
REMEDY = "give the path of a job spec"
SUFFIXES = (".yaml", ".yml", ".json")
MOST_NEIGHBOURS = 1000
_WIDE = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_HALF = re.compile("[\ud800-\udfff]")
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def read_text(path: Path) -> str:
    """What the file at `path` holds. Raises SpecError; never waits for a pipe, never reads a device."""
    try:
        raw = _read(path)
    except FileNotFoundError:
        raise SpecError([Problem(str(path), "does not exist", RULE, _meant(path) or REMEDY)]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:200]
        raise SpecError([Problem(str(path), reason, RULE, REMEDY)]) from None
    for mark, encoding in _WIDE.items():
        if raw.startswith(mark):
            raise SpecError([Problem(str(path), encoding, "text in UTF-8", "save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        value = f"the byte 0x{raw[error.start]:02x}"
        raise SpecError([Problem(str(path), value, "text in UTF-8", "save it as UTF-8", line)]) from None


def _meant(path: Path) -> str:
    """The spec beside it that was probably meant."""
    with suppress(OSError, ValueError), os.scandir(path.parent) as entries:
        names = [entry.name for entry in islice(entries, MOST_NEIGHBOURS)]
        near = nearest(path.name, (name for name in names if Path(name).suffix in SUFFIXES), 0.75)
        return f"did you mean {near}?" if near else ""
    return ""


def _read(path: Path) -> bytes:
    """At most one byte more than a spec may have. What opening alone could set off is not opened."""
    _require_regular(path, path.stat().st_mode)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        _require_regular(path, status.st_mode)
        raw = file.read(MAX_TEXT_BYTES + 1) if status.st_size <= MAX_TEXT_BYTES else b""
    if raw is None:
        raise SpecError([Problem(str(path), "is no file that can be read to its end", RULE, REMEDY)])
    if len(raw) > MAX_TEXT_BYTES or (not raw and status.st_size):
        raise SpecError([_too_large(str(path))])
    return raw


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = "is a folder" if stat.S_ISDIR(mode) else "is a pipe or a device"
    raise SpecError([Problem(str(path), what, RULE, REMEDY)])


def check_text(text: str, name: str, most_bytes: int = MAX_TEXT_BYTES) -> None:
    """Raises SpecError for text that is too large or holds control characters; `name` is its place."""
    if len(text) > most_bytes or (not text.isascii() and len(text.encode(errors="replace")) > most_bytes):
        raise SpecError([_too_large(name, most_bytes)])
    found = _FORBIDDEN.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        place = f"{name}:{line}:{found.start() - text.rfind(chr(10), 0, found.start())}"
        value = f"the character U+{ord(found[0]):04X}"
        raise SpecError([Problem(place, value, "text without control characters", "remove it")])


def has_half(value: str) -> bool:
    """Whether a string that was written with escapes holds half of a character, which no file can."""
    return not value.isascii() and _HALF.search(value) is not None


def _too_large(place: str, most_bytes: int = MAX_TEXT_BYTES) -> Problem:
    limit = f"at most {most_bytes / 1e6:g} MB"
    return Problem(place, "larger than a spec", limit, "use `repeat` or `matrix`, or split the job")

"""Read the index of QuickTime and mp4 files: tracks, sample counts, durations and edits, without ffprobe.

Box layouts: ISO/IEC 14496-12. Only `moov` is read, so the cost does not grow with the pictures.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jobs.errors import CorruptArtifact

CONFIGURATIONS = (b"avcC", b"hvcC", b"glbl")
VISUAL_HEADER_BYTES = 86


@dataclass(frozen=True, slots=True)
class Edit:
    """One line of an edit list: `duration` in movie ticks, `media_start` in track ticks."""

    duration: int
    media_start: int


@dataclass(frozen=True, slots=True)
class MovieTrack:
    """One track. `durations` are runs (samples, ticks each); `configuration` is the decoder's set-up.

    `kind` is `vide` or `soun`. `reordered` says that display and decoding order differ.
    """

    kind: str
    timescale: int
    samples: int
    durations: tuple[tuple[int, int], ...]
    edits: tuple[Edit, ...]
    configuration: bytes
    reordered: bool


@dataclass(frozen=True, slots=True)
class Movie:
    """What `moov` says. `timescale` is the ticks per second in which edits count."""

    timescale: int
    tracks: tuple[MovieTrack, ...]

    def track(self, kind: str) -> MovieTrack | None:
        """The first track of `kind`."""
        return next((track for track in self.tracks if track.kind == kind), None)


def read_movie(path: Path) -> Movie:
    """Index of the file at `path`. Raises CorruptArtifact when it has none."""
    try:
        with path.open("rb") as file:
            header = find(file, b"moov")
            moov = file.read(header)
        return _movie(moov)
    except (struct.error, LookupError) as error:
        raise CorruptArtifact(f"{path} is not a complete movie file ({error}); render it again") from error


def find(file: BinaryIO, kind: bytes) -> int:
    """Seek to the content of the first box of `kind` at the top level; its length in bytes."""
    file.seek(0)
    for name, size in top_level(file):
        if name == kind:
            return size
        file.seek(size, 1)
    raise LookupError(f"no {kind.decode()} box")


def top_level(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and content length of the next box; the caller moves past the content before the next one.

    Raises LookupError at a box that ends before its content starts, also at one of size 0, "to the end of the
    file", which our encoders never leave.
    """
    while len(header := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", header)
        used = 8
        if size == 1:
            size, used = struct.unpack(">Q", file.read(8))[0], 16
        if size < used:
            raise LookupError(f"box {kind!r} of {size} bytes")
        yield kind, size - used


def box_header(kind: bytes, size: int) -> bytes:
    """Header of a box with `size` bytes of content."""
    if size + 8 <= 0xFFFFFFFF:
        return struct.pack(">I4s", size + 8, kind)
    return struct.pack(">I4sQ", 1, kind, size + 16)


def box_offsets(data: bytes, *path: bytes, base: int = 0) -> Iterator[int]:
    """Where in `data` the content of each box at `path` starts."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        if kind == path[0]:
            if path[1:]:
                yield from box_offsets(data[at + 8 : at + size], *path[1:], base=base + at + 8)
            else:
                yield base + at + 8
        at += size


def _children(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size


def _child(data: bytes, *path: bytes) -> bytes:
    for name in path:
        found = [content for kind, content in _children(data) if kind == name]
        if not found:
            raise LookupError(f"no {name.decode()} box")
        data = found[0]
    return data


def _optional(data: bytes, *path: bytes) -> bytes:
    try:
        return _child(data, *path)
    except LookupError:
        return b""


def _movie(moov: bytes) -> Movie:
    tracks = tuple(_track(content) for kind, content in _children(moov) if kind == b"trak")
    return Movie(_timescale(_child(moov, b"mvhd")), tracks)


def _timescale(header: bytes) -> int:
    """`mvhd` and `mdhd` share their first fields; version 1 has 64-bit dates."""
    return int(struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0])


def _track(trak: bytes) -> MovieTrack:
    media = _child(trak, b"mdia")
    table = _child(media, b"minf", b"stbl")
    kind = _child(media, b"hdlr")[8:12].decode("latin-1")
    runs = _runs(_child(table, b"stts"))
    return MovieTrack(
        kind=kind,
        timescale=_timescale(_child(media, b"mdhd")),
        samples=sum(count for count, _ in runs),
        durations=runs,
        edits=_edits(_optional(trak, b"edts", b"elst")),
        configuration=_configuration(_child(table, b"stsd"), kind),
        reordered=bool(_optional(table, b"ctts")),
    )


def _runs(stts: bytes) -> tuple[tuple[int, int], ...]:
    (entries,) = struct.unpack_from(">I", stts, 4)
    return tuple(struct.iter_unpack(">II", stts[8 : 8 + 8 * entries]))


def _edits(elst: bytes) -> tuple[Edit, ...]:
    if not elst:
        return ()
    (entries,) = struct.unpack_from(">I", elst, 4)
    layout = ">Qqi" if elst[0] == 1 else ">Iii"
    body = elst[8 : 8 + struct.calcsize(layout) * entries]
    return tuple(Edit(duration, start) for duration, start, _ in struct.iter_unpack(layout, body))


def _configuration(stsd: bytes, kind: str) -> bytes:
    """Codec tag and decoder configuration of the first sample description."""
    entry = stsd[8:]
    tag = entry[4:8]
    if kind != "vide":
        return tag
    parts = [tag + name + content for name, content in _children(entry[VISUAL_HEADER_BYTES:])
             if name in CONFIGURATIONS]  # fmt: skip
    return b"".join(parts) or tag

"""The header of a GGUF file (versions 2 and 3, little endian), bounded by the size of the file.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The package `gguf` reads it too, but takes
lengths as they are written: a damaged file would keep it busy without end.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

MAGIC = b"GGUF"
MOST_TENSORS = 100_000
MOST_FIELDS = 10_000
MOST_TEXT_BYTES = 16 << 20
MOST_DIMENSIONS = 4
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
DEFAULT_ALIGNMENT = 32


class NumberType(NamedTuple):
    """A number type: `block` values take `size` bytes."""

    name: str
    block: int
    size: int


KINDS = {
    0: NumberType("F32", 1, 4),
    1: NumberType("F16", 1, 2),
    2: NumberType("Q4_0", 32, 18),
    3: NumberType("Q4_1", 32, 20),
    6: NumberType("Q5_0", 32, 22),
    7: NumberType("Q5_1", 32, 24),
    8: NumberType("Q8_0", 32, 34),
    10: NumberType("Q2_K", 256, 84),
    11: NumberType("Q3_K", 256, 110),
    12: NumberType("Q4_K", 256, 144),
    13: NumberType("Q5_K", 256, 176),
    14: NumberType("Q6_K", 256, 210),
    20: NumberType("IQ4_NL", 32, 18),
    23: NumberType("IQ4_XS", 256, 136),
    30: NumberType("BF16", 1, 2),
}
"""Those that are met in files of video models; another is named by its number."""
QUANTISED = frozenset(kind.name for kind in KINDS.values() if kind.block > 1)
BY_NAME = {kind.name: kind for kind in KINDS.values()}


class Info(NamedTuple):
    """One tensor: its shape in torch's order, and the name of its number type."""

    shape: tuple[int, ...]
    kind: str

    @property
    def size(self) -> int:
        """Bytes in the file; 0 for a number type that is not known."""
        kind = BY_NAME.get(self.kind)
        return math.prod(self.shape) // kind.block * kind.size if kind else 0


def read_gguf(path: Path) -> tuple[dict[str, Info], dict[str, str]]:
    """Tensors by name, and the metadata's texts. Raises OSError, or ValueError for what is no whole GGUF."""
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Reader(file, size)
        if reader.bytes(4) != MAGIC or reader.scalar("I") not in (2, 3):
            raise ValueError("is no GGUF file of version 2 or 3")
        tensors, fields = reader.scalar("Q"), reader.scalar("Q")
        if tensors > MOST_TENSORS or fields > MOST_FIELDS:
            raise ValueError("is no whole GGUF file")
        metadata = dict(_field(reader) for _ in range(fields))
        infos = list(_infos(reader, tensors))
        _check_size(infos, file.tell(), _alignment(metadata), size)
    texts = {name: value for name, value in metadata.items() if isinstance(value, str)}
    return {name: info for name, info, *_ in infos}, texts


class _Reader:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file = file
        self.size = size

    def bytes(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        found = self.file.read(count) if count <= self.size else b""
        if len(found) != count:
            raise ValueError("is no whole GGUF file")
        return found

    def scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.bytes(struct.calcsize(code)))[0]

    def text(self) -> str:
        length = self.scalar("Q")
        if length > MOST_TEXT_BYTES:
            raise ValueError("is no whole GGUF file")
        return self.bytes(length).decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        if self.file.tell() + count > self.size:
            raise ValueError("is no whole GGUF file")
        self.file.seek(count, 1)


def _alignment(metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int:
        raise ValueError("is no whole GGUF file")
    return max(1, alignment)


def _field(reader: _Reader) -> tuple[str, Any]:
    name, kind = reader.text(), reader.scalar("I")
    if kind == ARRAY:
        _pass_over(reader, reader.scalar("I"), reader.scalar("Q"))
        return name, None
    return name, _value(reader, kind)


def _value(reader: _Reader, kind: int) -> Any:
    if kind == TEXT:
        return reader.text()
    if kind not in SCALARS:
        raise ValueError("is no whole GGUF file")
    return reader.scalar(SCALARS[kind])


def _pass_over(reader: _Reader, kind: int, length: int) -> None:
    """An array, such as a vocabulary: nothing here needs one."""
    if kind in SCALARS:
        reader.skip(length * struct.calcsize(SCALARS[kind]))
        return
    if kind != TEXT or length > reader.size:
        raise ValueError("is no whole GGUF file")
    for _ in range(length):
        reader.skip(reader.scalar("Q"))


def _infos(reader: _Reader, count: int) -> Iterator[tuple[str, Info, int]]:
    """Name, info and offset in the data of each tensor."""
    for _ in range(count):
        name, dimensions = reader.text(), reader.scalar("I")
        if dimensions > MOST_DIMENSIONS:
            raise ValueError("is no whole GGUF file")
        shape = tuple(reader.scalar("Q") for _ in range(dimensions))[::-1]
        number, offset = reader.scalar("I"), reader.scalar("Q")
        kind = KINDS.get(number, NumberType(f"type {number}", 1, 0))
        yield name, Info(shape, kind.name), offset


def _check_size(infos: list[tuple[str, Info, int]], header: int, alignment: int, size: int) -> None:
    start = -(-header // alignment) * alignment
    wanted = start + max((offset + info.size for _, info, offset in infos), default=0)
    if infos and size < wanted:
        raise ValueError(f"has {size} bytes where its header says {wanted}: it was not copied whole")

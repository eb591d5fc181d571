"""The header of a safetensors file: what it holds, without reading a tensor, and whether it is all there."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

LENGTH_BYTES = 8
MAX_HEADER_BYTES = 8 << 20
"""Those of published models have about one."""
MOST_DIMENSIONS, LARGEST_COUNT = 16, (1 << 63) - 1
"""Products of more, or of larger ones, would take longer to multiply than to read."""
BITS = re.compile(r"\d+")
"""The first number in a number type's name is its width: `F32`, `BF16`, `F8_E4M3`, `F4`; `BOOL` has none."""
LFS_POINTER = b"version https://git-lfs"


def header_in(data: bytes | memoryview) -> tuple[dict[str, Any], int]:
    """The header of a file in memory, and where its tensors begin. Raises ValueError where it is none."""
    stop = LENGTH_BYTES + _length(data)
    if len(data) < stop:
        raise ValueError("the header is cut off")
    return _parsed(bytes(data[LENGTH_BYTES:stop])), stop


def tensors_start(path: Path) -> int:
    """Where the tensors of a whole file begin, in bytes."""
    with path.open("rb") as file:
        return LENGTH_BYTES + _length(file.read(LENGTH_BYTES))


def read_header(path: Path) -> dict[str, Any]:
    """Tensors by name (`dtype`, `shape`, `data_offsets` `[start, stop)` in bytes after the header) and
    `__metadata__`.

    Raises OSError, or ValueError with what is wrong with a file that is no whole safetensors.
    """
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise ValueError("is a Git LFS pointer, not the file itself")
        if len(start) < LENGTH_BYTES:
            raise ValueError("is empty" if not start else "is no safetensors file")
        length = _length(start)
        if length > MAX_HEADER_BYTES:
            raise ValueError("is no safetensors file")
        file.seek(LENGTH_BYTES)
        header = _parsed(file.read(length))
    _check_layout(header, LENGTH_BYTES + length, path.stat().st_size)
    return header


def _length(start: bytes | memoryview) -> int:
    return int.from_bytes(start[:LENGTH_BYTES], "little")


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is no safetensors file") from None
    if not isinstance(header, dict) or not _is_metadata(header.get("__metadata__", {})):
        raise ValueError("is no safetensors file")
    return header


def _is_metadata(value: Any) -> bool:
    """Texts by name."""
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _check_layout(header: dict[str, Any], before: int, size: int) -> None:
    """Tensors lie one behind the other, each as long as its shape, to the end of the file. A download that
    broke off, or a copy that is still under way, has a whole header and too few bytes."""
    try:
        tensors = [_extent(name, entry) for name, entry in header.items() if name != "__metadata__"]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise ValueError("is no safetensors file") from None
    end = 0
    for start, stop, need, name in sorted(tensors):
        if start != end or stop - start != need:
            raise ValueError(f"is damaged: its header puts {name[:60]} over or beside other tensors")
        end = stop
    if size != before + end:
        raise ValueError(f"has {size} bytes where its header says {before + end}: it was not copied whole")


def _extent(name: str, entry: dict[str, Any]) -> tuple[int, int, int, str]:
    """Start, stop and length in bytes of one tensor."""
    start, stop = map(_count, entry["data_offsets"])
    width, shape = BITS.search(entry["dtype"]), entry["shape"]
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError
    bits = math.prod(map(_count, shape)) * (int(width.group()) if width else 8)
    return start, stop, -(-bits // 8), name


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError
    return value

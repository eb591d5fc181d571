"""The header of a safetensors file: what it holds, without reading a tensor, and whether it is all there."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

MAX_HEADER_BYTES = 100 << 20
LFS_POINTER = b"version https://git-lfs"


def read_header(path: Path) -> dict[str, Any]:
    """Tensors by name (`dtype`, `shape`, `data_offsets` `[start, stop)` in bytes after the header) and
    `__metadata__`.

    Raises OSError, or ValueError with what is wrong with a file that is no whole safetensors.
    """
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise ValueError("is a Git LFS pointer, not the file itself")
        if len(start) < 8:
            raise ValueError("is empty" if not start else "is no safetensors file")
        (length,) = struct.unpack("<Q", start[:8])
        if length > MAX_HEADER_BYTES:
            raise ValueError("is no safetensors file")
        file.seek(8)
        header = _parsed(file.read(length))
    _check_size(header, 8 + length, path.stat().st_size)
    return header


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is no safetensors file") from None
    if not isinstance(header, dict):
        raise ValueError("is no safetensors file")
    return header


def _check_size(header: dict[str, Any], before: int, size: int) -> None:
    """A download that broke off, or a copy that is still under way, has a whole header and too few bytes."""
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        wanted = before + max(ends, default=0)
    except (KeyError, TypeError, IndexError):
        raise ValueError("is no safetensors file") from None
    if size != wanted:
        raise ValueError(f"has {size} bytes where its header says {wanted}: it was not copied whole")

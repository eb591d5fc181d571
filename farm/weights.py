"""What a `.safetensors` file says of itself, read off its header: which tensors, and whether all of it
is there."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

MOST_HEADER_BYTES = 100 << 20
SUFFIX = ".safetensors"
LFS_POINTER = b"version https://git-lfs"


def read_header(path: Path) -> dict[str, Any]:
    """Tensors by name: `dtype`, `shape` and `data_offsets` `[start, stop)` in bytes after the header.

    Raises OSError for a file that cannot be read, ValueError for one that is no whole `.safetensors`.
    """
    with path.open("rb") as file:
        start = file.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise ValueError("is a Git LFS pointer, not the file itself")
        if len(start) < 8:
            raise ValueError("is empty" if not start else "is no safetensors file")
        (length,) = struct.unpack("<Q", start[:8])
        file.seek(8)
        text = file.read(length) if length <= MOST_HEADER_BYTES else b""
    tensors = _parse(text)
    wanted = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    there = path.stat().st_size
    if there != wanted:
        raise ValueError(f"has {there} bytes where its header says {wanted}: it was not copied whole")
    return tensors


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
        return {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, AttributeError):
        raise ValueError("is no safetensors file") from None


def tensor_bytes(path: Path, prefix: str) -> int:
    """Bytes of the tensors whose names begin with `prefix`; 0 for a file that is none or is damaged."""
    try:
        tensors = read_header(path)
    except (OSError, ValueError):
        return 0
    spans = (entry["data_offsets"] for name, entry in tensors.items() if name.startswith(prefix))
    return sum(stop - start for start, stop in spans)

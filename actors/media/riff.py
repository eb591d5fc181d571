"""The headers of RIFF files, WAV and AVI: how long they are said to be. ffmpeg says nothing of one that ends
early.

Layout: RIFF chunks of a name, a length in four bytes and the content, padded to an even length.
"""

from __future__ import annotations

import struct
from pathlib import Path

RIFF_BYTES, CHUNK_BYTES, FORMAT_BYTES = 12, 8, 16
UNKNOWN_BYTES = (0, 0xFFFFFFFF)
"""What programs write that send sound through a pipe."""
MOST_CHUNKS = 1000


def stated_seconds(path: Path) -> float | None:
    """Running time by the header; None for a file that is no WAV or does not say it. Raises OSError."""
    with path.open("rb") as file:
        riff = file.read(RIFF_BYTES)
        if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            return None
        bytes_per_second = 0
        for _ in range(MOST_CHUNKS):
            chunk = file.read(CHUNK_BYTES)
            if len(chunk) < CHUNK_BYTES:
                return None
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                known = bytes_per_second > 0 and length not in UNKNOWN_BYTES
                return length / bytes_per_second if known else None
            if name == b"fmt " and length >= FORMAT_BYTES:
                bytes_per_second = struct.unpack("<8xI4x", file.read(FORMAT_BYTES))[0]
                length -= FORMAT_BYTES
            file.seek(length + length % 2, 1)
    return None


def ends_early(path: Path) -> bool:
    """Whether a RIFF file is shorter than its header says. Raises OSError."""
    with path.open("rb") as file:
        riff = file.read(CHUNK_BYTES)
    if len(riff) < CHUNK_BYTES or riff[:4] != b"RIFF":
        return False
    length = int.from_bytes(riff[4:], "little")
    return length not in UNKNOWN_BYTES and CHUNK_BYTES + length > path.stat().st_size

"""What a PNG sequence is, as one value: the hash of a manifest of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from actors.media.codecs import png_name
from jobs.hashing import sha256_of_file


def png_manifest(folder: Path, frames: int) -> Iterator[str]:
    """What `sha256sum *.png` prints in the folder of a sequence of `frames` frames, a line at a time."""
    for index in range(frames):
        name = png_name(index)
        yield f"{sha256_of_file(folder / name)}  {name}\n"


def sequence_sha256(folder: Path, frames: int) -> str:
    """Hex SHA-256 of the manifest of a PNG sequence."""
    manifest = hashlib.sha256()
    for line in png_manifest(folder, frames):
        manifest.update(line.encode())
    return manifest.hexdigest()

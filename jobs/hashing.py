"""SHA-256 of bytes and of files, as lower-case hex: the one way in which the farm hashes what it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def sha256_of_bytes(data: bytes | memoryview) -> str:
    """Of a value in memory."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_blocks(blocks: Iterable[bytes], first_bytes: int | None = None) -> str:
    """Hex SHA-256 of the blocks, or of the first bytes of them."""
    digest, left = hashlib.sha256(), first_bytes
    for block in blocks:
        digest.update(block if left is None else block[:left])
        if left is not None and (left := left - len(block)) <= 0:
            break
    return digest.hexdigest()

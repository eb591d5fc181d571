"""Digests of input and model files, remembered by size, modification time and inode."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jobs.errors import Problem, SpecError

BLOCK_BYTES = 1 << 22


class FileDigests:
    """SHA-256 of files and folders. `cache` is a JSON file that carries the memory from run to run."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, str] = _load(cache) if cache else {}

    def digest(self, path: str | Path) -> str:
        """SHA-256 of a file; of a folder, that of its files' relative paths and digests.

        Raises SpecError when it cannot be read.
        """
        path = Path(path)
        try:
            return self._folder(path) if path.is_dir() else self._file(path)
        except OSError as error:
            reason = error.strerror or str(error)
            problem = Problem(str(path), reason, "a readable file", "restore the file or change the spec")
            raise SpecError([problem]) from None

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """Digest by path; saves the cache afterwards."""
        found = {path: self.digest(path) for path in sorted(set(paths))}
        self.save()
        return found

    def save(self) -> None:
        """Writes the cache; a cache that cannot be written is only slower next time."""
        if self._cache is None:
            return
        with contextlib.suppress(OSError):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            _replace(self._cache, json.dumps(self._known))

    def _folder(self, path: Path) -> str:
        total = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            total.update(f"{file.relative_to(path).as_posix()}\0{self._file(file)}\n".encode())
        return total.hexdigest()

    def _file(self, path: Path) -> str:
        stat = path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
        if key not in self._known:
            self._known[key] = _sha256(path)
        return self._known[key]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _load(cache: Path) -> dict[str, str]:
    """The remembered digests; a missing or damaged cache is empty."""
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)}


def _replace(path: Path, text: str) -> None:
    """Writes beside, then renames: a reader never sees half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


_PROCESS = FileDigests()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file or folder, remembered for the life of the process."""
    return _PROCESS.digest(path)

"""Digests of input and model files, remembered by size, modification time and inode."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from jobs.errors import Problem, SpecError

BLOCK_BYTES = 1 << 22
LARGE_BYTES = 16 << 20
CACHE = ".file-digests.json"


class FileDigests:
    """SHA-256 of files and folders; `cache`, a JSON file, carries those of large files from run to run."""

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
            if self._cache is not None and stat.st_size >= LARGE_BYTES:
                self._save(self._cache)
        return self._known[key]

    def _save(self, cache: Path) -> None:
        """Adds to what other processes saved; a cache that cannot be written is only slower next time."""
        with contextlib.suppress(OSError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            self._known = {**_load(cache), **self._known}
            _replace(cache, json.dumps(self._known))


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


_of_process = FileDigests()


def remember_in(cache: Path) -> None:
    """From now on this process keeps the digests of large files in `cache`, a JSON file beside the runs."""
    global _of_process
    _of_process = FileDigests(cache)


def remember_beside(run_dir: Path | None) -> None:
    """`remember_in` a file of the runs directory beside `run_dir`; an object store (None) keeps nothing."""
    if run_dir is not None:
        remember_in(run_dir.parent / CACHE)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file or folder, remembered for the life of the process."""
    return _of_process.digest(path)

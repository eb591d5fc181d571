"""Digests of input and model files, remembered by size, modification time and inode."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jobs.errors import NewerFormat, Problem, SpecError
from jobs.hashing import sha256_of_bytes, sha256_of_file
from jobs.records import Form, Unreadable, newer_than, unseal
from jobs.scratch import private_folder

LARGE_BYTES = 16 << 20
CACHE = ".file-digests.json"


@dataclass(frozen=True, slots=True)
class KeptDigests:
    """SHA-256 by path, size, modification time and inode of a file."""

    digests: dict[str, str] = field(default_factory=dict)


CACHE_FORM = Form(CACHE, KeptDigests)


def _files_in(folder: Path) -> list[Path]:
    """Its files, in order. Hidden ones are left out: tools put them beside a model and take them away."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(file for file in found if file.is_file())


Moments = tuple[tuple[int, ...], ...]
"""When what stands under a path became what it is, one entry a file."""


def moments(path: str | Path) -> Moments:
    """Device, inode, size and times of change of a file, or of each file of a folder that is not hidden;
    empty where none is.

    Writing, renaming and replacing move the last of them, the inode's, and nobody can set it. So a file that
    was another one for a while has other moments, even if it is back.
    """
    path = Path(path)
    files = _files_in(path) if path.is_dir() else [path]
    with contextlib.suppress(OSError):
        found = [file.stat() for file in files]
        return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in found)
    return ()


class FileDigests:
    """SHA-256 of files and folders; `cache`, a JSON file, carries those of large files from run to run.

    Threads may share one. A large file is read by one process of a node at a time, and by the others only
    where that one could not write the cache.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, str] = _load(cache) if cache else {}
        self._reading: dict[str, threading.Lock] = {}

    def digest(self, path: str | Path) -> str:
        """SHA-256 of a file; of a folder, that of its files' relative paths and digests, but for hidden
        ones.

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
        for file in _files_in(path):
            total.update(f"{file.relative_to(path).as_posix()}\0{self._file(file)}\n".encode())
        return total.hexdigest()

    def _file(self, path: Path) -> str:
        stat = path.stat()
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
        if key not in self._known:
            with self._reading.setdefault(key, threading.Lock()):
                self._read(path, key, stat.st_size)
        return self._known[key]

    def _read(self, path: Path, key: str, size_bytes: int) -> None:
        if key in self._known:
            return
        if self._cache is None or size_bytes < LARGE_BYTES:
            self._known[key] = sha256_of_file(path)
            return
        with _alone_on_this_node(key):
            self._known.update(_load(self._cache))
            if key not in self._known:
                self._known[key] = sha256_of_file(path)
                self._save(self._cache)

    def _save(self, cache: Path) -> None:
        """Adds to what other processes saved; a cache that cannot be written is only slower next time."""
        if _is_newer(cache):
            return
        with contextlib.suppress(OSError):
            _replace(cache, CACHE_FORM.encode(KeptDigests({**_load(cache), **self._known})))


@contextlib.contextmanager
def _alone_on_this_node(key: str) -> Iterator[None]:
    """Holds the node's lock for `key`; where there is none to be had, that costs a second reading only."""
    name = f"{sha256_of_bytes(key.encode())[:16]}.lock"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            held = stack.enter_context((private_folder() / name).open("w"))
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _load(cache: Path) -> dict[str, str]:
    """The remembered digests; a missing or damaged cache is empty."""
    try:
        return CACHE_FORM.decode(cache.read_bytes()).digests
    except (OSError, Unreadable, NewerFormat):
        return {}


def _is_newer(cache: Path) -> bool:
    """Whether another version keeps more there than this one could write."""
    try:
        return newer_than(CACHE_FORM, unseal(cache.read_bytes())) is not None
    except (OSError, Unreadable):
        return False


def _replace(path: Path, data: bytes) -> None:
    """Writes beside, then renames: a reader never sees half a file. It has the rights that the umask gives:
    whoever shares the runs reads what was remembered, too."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


_of_process = FileDigests()


def remember_in(cache: Path) -> None:
    """From now on this process keeps the digests of large files in `cache`, a JSON file beside the runs."""
    global _of_process
    _of_process = FileDigests(cache)


def remember_beside(run_dir: Path | None) -> None:
    """`remember_in` a file of the runs directory beside `run_dir`; where runs are kept in an object store
    (None), in one of the node's own."""
    if run_dir is not None:
        remember_in(run_dir.parent / CACHE)
    else:
        own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ltx-farm"
        with contextlib.suppress(OSError):
            own.mkdir(parents=True, exist_ok=True)
        remember_in(own / CACHE.lstrip("."))


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file or folder, remembered for the life of the process; waits where `digest_ahead` reads
    it."""
    return _of_process.digest(path)


def digest_ahead(paths: Iterable[Path]) -> None:
    """Reads the files' digests in a thread of its own, while models are loaded from them.

    A file that cannot be read raises in the `file_digest` that needs it.
    """

    def read() -> None:
        for path in paths:
            with contextlib.suppress(SpecError):
                file_digest(path)

    threading.Thread(target=read, name="digests", daemon=True).start()

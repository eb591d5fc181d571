"""The store on a mounted file system: local disk, NFS, Lustre."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from jobs.storage_problems import FULL, free_bytes_at
from jobs.store.backend import LOCK, RESERVE, Entry, Place, leftovers_among, remove

RESERVE_BYTES = 256 * 1024
NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class LocalBackend:
    """Files below `root`, the job's directory.

    A link inside it is never followed to write or to delete, and only regular files are read: a run directory
    may come from somebody else.
    """

    appends = True
    single_process = False
    refusals: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)
        self._folders: set[Path] = set()
        self._claimed = False

    def place(self) -> Place:
        try:
            return Place(str(self.root.resolve()), self.root.stat().st_ino)
        except FileNotFoundError:
            return Place()

    def path(self, key: str) -> Path | None:
        return self.root / key

    def read(self, key: str) -> bytes:
        handle = os.open(self.root / key, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "is no regular file", str(self.root / key))
            return file.read()

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for key in keys:
            try:
                found[key] = self.read(key)
            except FileNotFoundError:
                continue
        return found

    def write(self, key: str, data: bytes | memoryview | Path) -> Entry:
        target = self._target(key)
        try:
            with target.open("xb") as out:
                _copy_into(out, data)
        except OSError:
            remove(target)
            raise
        return _entry(target.stat())

    def create(self, key: str, data: bytes) -> bool:
        target = self._target(key)
        temporary = self._temporary(target)
        try:
            _write_durably(temporary, data)
            return _link(temporary, target)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            return _create_in_place(target, data)
        finally:
            remove(temporary)

    def replace(self, key: str, data: bytes) -> None:
        target = self._target(key)
        try:
            self._replace(target, data)
        except OSError as error:
            if error.errno not in FULL or not self.free_reserve():
                raise
            self._replace(target, data)

    def _replace(self, target: Path, data: bytes) -> None:
        temporary = self._temporary(target)
        try:
            _write_durably(temporary, data)
            temporary.replace(target)
        finally:
            remove(temporary)

    def append(self, key: str, data: bytes) -> None:
        target = self._target(key)
        try:
            _append(target, data)
        except OSError as error:
            if error.errno not in FULL or not self.free_reserve():
                raise
            _append(target, data)

    def touch(self, key: str, data: bytes) -> None:
        # No bytes are needed for this, so a lock survives a full disk.
        os.utime(self._own(key), follow_symlinks=False)

    def delete(self, key: str) -> bool:
        return remove(self._own(key))

    def entries(self, folder: str) -> dict[str, Entry]:
        try:
            with os.scandir(self.root / folder) as found:
                files = [entry for entry in found if not entry.name.startswith(".")]
        except FileNotFoundError:
            return {}
        entries: dict[str, Entry] = {}
        for file in files:
            try:
                if file.is_file():
                    entries[file.name] = _entry(file.stat())
            except FileNotFoundError:
                continue
        return entries

    def stat(self, key: str) -> Entry | None:
        try:
            return _entry((self.root / key).stat())
        except FileNotFoundError:
            return None

    def leftovers(self, older_s: float) -> list[str]:
        hidden = (*self.root.glob(".*"), *self.root.glob("*/.*"))
        written_s = {str(file.relative_to(self.root)): _mtime_s(file) for file in hidden}
        newest_s = max(map(_mtime_s, self.root.glob("*.*")), default=0.0)
        return leftovers_among({"": newest_s, **written_s}, older_s)

    def folders(self) -> list[str]:
        if not self.root.parent.is_dir():
            return []
        return sorted(child.name for child in self.root.parent.iterdir() if child.is_dir())

    def remove_folders(self, names: Iterable[str]) -> tuple[str, ...]:
        for folder in (*(self.root / name for name in names), self.root):
            with suppress(OSError):
                folder.rmdir()
        if not self.root.exists():
            return ()
        return tuple(
            sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file())
        )

    def free_bytes(self) -> int | None:
        return free_bytes_at(self.root)

    def keep_reserve(self) -> None:
        target = self._target(RESERVE)
        if target.exists():
            return
        try:
            self._replace(target, b"\0" * RESERVE_BYTES)
        except OSError as error:
            if error.errno not in FULL:
                raise

    def free_reserve(self) -> bool:
        """Release the held-back space; False where it was released before."""
        return remove(self.root / RESERVE)

    def _own(self, key: str) -> Path:
        """Where `key` may be written or deleted; raises OSError where a link leads to another folder."""
        target = self.root / key
        for folder in target.relative_to(self.root).parents:
            if folder.parts and (self.root / folder).is_symlink():
                raise OSError(errno.ELOOP, "is a symbolic link", str(self.root / folder))
        return target

    def _target(self, key: str) -> Path:
        self._require_place()
        target = self._own(key)
        if target.parent not in self._folders:
            # What was there once is not made again: nothing must be written under a lost mount.
            target.parent.mkdir(parents=self.root not in self._folders, exist_ok=True)
            self._folders |= {self.root, target.parent}
        return target

    def _require_place(self) -> None:
        """Raise FileNotFoundError where the job's lock was there and is not: the mount was lost, or the
        directory moved, and what stands in its place now is not the job's."""
        there = (self.root / LOCK).is_dir()
        if self._claimed and not there:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root))
        self._claimed = there

    def _temporary(self, target: Path) -> Path:
        return target.with_name(f".{target.name}.{secrets.token_hex(6)}")


def _entry(status: os.stat_result) -> Entry:
    return Entry(size=status.st_size, stamp=str(status.st_mtime_ns))


def _mtime_s(path: Path) -> float:
    """When it was written, by the file server's clock; 0 where it is gone, or no ordinary file."""
    try:
        found = path.lstat()
    except OSError:
        return 0.0
    return found.st_mtime if stat.S_ISREG(found.st_mode) else 0.0


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _copy_into(out: BinaryIO, data: bytes | memoryview | Path) -> None:
    if isinstance(data, Path):
        with data.open("rb") as source:
            shutil.copyfileobj(source, out, 1 << 22)
    else:
        out.write(data)
    out.flush()
    os.fsync(out.fileno())


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "ab") as out:
        out.write(data)


def _link(temporary: Path, target: Path) -> bool:
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    return True


def _create_in_place(target: Path, data: bytes) -> bool:
    """Exclusive create without hard links; a reader that meets half of it sees one that does not verify."""
    try:
        _write_durably(target, data)
    except FileExistsError:
        return False
    return True

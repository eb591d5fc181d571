"""Temporary folders that no process leaves behind for long.

A process that is killed cannot clean up. Each folder therefore holds a file on which its process keeps a
lock, and the system releases the lock when the process ends: what is not locked any more, `sweep` deletes.
That holds across containers that share the folder, where a process id says nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

PREFIX = "ltx-farm-"
MARK = ".held"


class Scratch:
    """A temporary folder that comes with its first use and goes with `clear`, or at the end of a `with`."""

    def __init__(self) -> None:
        self._held: tuple[tempfile.TemporaryDirectory[str], BinaryIO] | None = None

    def __enter__(self) -> Path:
        return self.folder()

    def __exit__(self, *exc_info: object) -> None:
        self.clear()

    def folder(self) -> Path:
        """The folder, for its owner alone. Raises OSError."""
        if self._held is None:
            made = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
            try:
                self._held = made, _mark(Path(made.name))
            except OSError:
                made.cleanup()
                raise
        return Path(self._held[0].name)

    def clear(self) -> None:
        """Delete it with all that is in it; it may be used again."""
        if self._held is not None:
            made, mark = self._held
            made.cleanup()
            mark.close()
            self._held = None


def private_folder() -> Path:
    """A lasting folder of this user in the temporary one, where nobody else can put a link or a file.

    Raises OSError where something else stands there.
    """
    folder = Path(tempfile.gettempdir(), f"{PREFIX}{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "is no private folder of this user", str(folder))
    return folder


def sweep() -> int:
    """Delete this node's scratch folders whose processes are gone; returns how many there were."""
    return sum(_swept(mark) for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{MARK}"))


def _mark(folder: Path) -> BinaryIO:
    """The open lock file of a new folder. It gets its name once it is locked: before, it would look like a
    dead process's. Where the file system has no locks it gets none, and nobody sweeps the folder."""
    unnamed = folder / f"{MARK}.new"
    mark = unnamed.open("wb")
    with contextlib.suppress(OSError):
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(folder / MARK)
    return mark


def _swept(path: Path) -> bool:
    """Whether the folder around this lock file was a dead process's of this user, and is gone now."""
    try:
        folder = path.parent.lstat()
        if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.getuid():
            return False
        with os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+b") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            opened = os.fstat(mark.fileno())
            if opened.st_uid != os.getuid() or not os.path.samestat(opened, path.lstat()):
                return False
            shutil.rmtree(path.parent, ignore_errors=True)
    except OSError:
        return False
    return True

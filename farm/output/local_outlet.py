"""Films in a folder of a mounted file system."""

from __future__ import annotations

import contextlib
import hashlib
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from actors.media.codecs import png_name
from actors.media.process import sync
from farm.output.outlet import HASH_BLOCK_BYTES, UNKNOWN_BYTES, ExistingOutput
from farm.output.png_sequences import sequence_sha256
from jobs.errors import StorageProblem
from jobs.hashing import sha256_of_blocks
from jobs.storage_problems import free_bytes_at, storage_problem
from jobs.store.local import NO_HARD_LINKS

if TYPE_CHECKING:
    from jobs.scratch import Scratch


class LocalOutlet:
    """A folder of a mounted file system. Films are made in it, so that to put them in place is a rename."""

    appends = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, str(folder)

    def probe(self) -> None:
        with self._using(""):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass

    def address(self, name: str) -> str:
        return str(self.folder / name)

    def existing(self, names: Iterable[str]) -> dict[str, ExistingOutput]:
        found = ((name, self.find(name)) for name in names)
        return {name: existing for name, existing in found if existing is not None}

    def find(self, name: str) -> ExistingOutput | None:
        with self._using(name):
            return _existing_output(self.folder / name)

    def sha256(self, name: str, first_bytes: int | None = None) -> str:
        path = self.folder / name
        with self._using(name):
            found = _existing_output(path)
            if found is None or found.size == UNKNOWN_BYTES:
                return ""
            if found.is_folder:
                return _sequence_sha256(path, found.size)
            with path.open("rb") as file:
                return sha256_of_blocks(iter(lambda: file.read(HASH_BLOCK_BYTES), b""), first_bytes)

    def workplace(self, temporary: str, name: str) -> Path:
        with self._using(name):
            self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / temporary

    def upload(self, temporary: str, name: str) -> ExistingOutput:
        with self._using(name):
            found = _existing_output(self.folder / temporary)
            if found is None:
                raise FileNotFoundError(f"{self.folder / temporary} is gone")
            return found

    def create(self, temporary: str, name: str) -> None:
        source, target = self.folder / temporary, self.folder / name
        with self._using(name):
            if source.is_dir() or not _linked(source, target):
                if _existing_output(target) is not None:
                    raise FileExistsError(str(target))
                source.rename(target)
            sync(self.folder)

    def replace(self, temporary: str, name: str, aside: str) -> None:
        source, target = self.folder / temporary, self.folder / name
        with self._using(name):
            if target.is_dir():
                target.rename(self.folder / aside)
            source.replace(target)
            sync(self.folder)
        with contextlib.suppress(StorageProblem):
            self.discard(aside)

    def keep(self, name: str, older: str) -> None:
        with self._using(older):
            (self.folder / name).rename(self.folder / older)
            sync(self.folder)

    def discard(self, temporary: str) -> None:
        path = self.folder / temporary
        with self._using(temporary):
            found = _existing_output(path)
            if found is None:
                return
            if not found.is_folder:
                path.unlink(missing_ok=True)
                return
            for index in range(found.size):
                (path / png_name(index)).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.rmdir()

    def fetch(self, name: str, copies: Scratch) -> Path:
        path = self.folder / name
        if not path.exists():
            raise FileNotFoundError(str(path))
        return path

    @contextlib.contextmanager
    def _using(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            free = free_bytes_at(self.folder)
            raise storage_problem(error, self.address(name), 0, free) from error


def _existing_output(path: Path) -> ExistingOutput | None:
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(found.st_mode):
        return ExistingOutput(found.st_size, f"{found.st_mtime_ns}-{found.st_ino}")
    if not stat.S_ISDIR(found.st_mode):
        return ExistingOutput(UNKNOWN_BYTES, "")
    listing = hashlib.sha256()
    files = sorted(path.iterdir())
    for file in files:
        inside = file.lstat()
        listing.update(f"{file.name}\0{inside.st_size}\0{inside.st_mtime_ns}\0{inside.st_ino}\n".encode())
    return ExistingOutput(len(files), listing.hexdigest(), is_folder=True)


def _sequence_sha256(folder: Path, files: int) -> str:
    names = {file.name for file in folder.iterdir()}
    return sequence_sha256(folder, files) if names == {png_name(index) for index in range(files)} else ""


def _linked(source: Path, target: Path) -> bool:
    """Names a file by a link, which never replaces anything; False where the file system has no links."""
    try:
        target.hardlink_to(source)
    except FileExistsError:
        # NFS may repeat a link whose answer was lost.
        if not source.samefile(target):
            raise
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        return False
    source.unlink()
    return True

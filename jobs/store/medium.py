"""A backend whose errors are worded as in the failure table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.storage_problems import storage_problem
from jobs.store.patience import watch

if TYPE_CHECKING:
    from jobs.errors import StorageProblem
    from jobs.store.backend import Backend, Entry, Place


class Medium:
    """What a backend does, raising StorageProblem with the path where it cannot.

    No key leads out of the job's directory. Where a file is only read, its absence stays FileNotFoundError.
    Where one is written, absence means that the folder went away: a mount that was lost.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.url, self.appends = backend.url, backend.appends
        self.single_process, self.refusals = backend.single_process, backend.refusals

    def place(self) -> Place:
        with self._reading():
            return self._backend.place()

    def path(self, key: str) -> Path | None:
        return self._backend.path(require_inside(key))

    def read(self, key: str) -> bytes:
        with self._reading(key):
            return self._backend.read(require_inside(key))

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        with self._reading():
            return self._backend.read_many(map(require_inside, keys))

    def write(self, key: str, data: bytes | memoryview | Path) -> Entry:
        need_bytes = data.stat().st_size if isinstance(data, Path) else len(data)
        with self._writing(key, need_bytes):
            return self._backend.write(require_inside(key), data)

    def create(self, key: str, data: bytes) -> bool:
        with self._writing(key, len(data)):
            try:
                return self._backend.create(require_inside(key), data) or self._holds(key, data)
            except self.refusals:
                # The medium may have done it although its answer was lost.
                if self._holds(key, data):
                    return True
                raise

    def _holds(self, key: str, data: bytes) -> bool:
        """Whether the file is there with these very bytes, which no other writer has."""
        try:
            return self._backend.read(key) == data
        except self.refusals:
            return False

    def replace(self, key: str, data: bytes) -> None:
        with self._writing(key, len(data)):
            self._backend.replace(require_inside(key), data)

    def append(self, key: str, data: bytes) -> None:
        with self._writing(key, len(data)):
            self._backend.append(require_inside(key), data)

    def touch(self, key: str, data: bytes) -> None:
        with self._writing(key):
            self._backend.touch(require_inside(key), data)

    def delete(self, key: str) -> bool:
        with self._writing(key):
            return self._backend.delete(require_inside(key))

    def entries(self, folder: str) -> dict[str, Entry]:
        with self._reading(folder):
            return self._backend.entries(require_inside(folder))

    def stat(self, key: str) -> Entry | None:
        with self._reading(key):
            return self._backend.stat(require_inside(key))

    def leftovers(self, older_s: float) -> list[str]:
        with self._reading():
            return self._backend.leftovers(older_s)

    def folders(self) -> list[str]:
        with self._reading():
            return self._backend.folders()

    def remove_folders(self, names: Iterable[str]) -> tuple[str, ...]:
        with self._reading():
            return self._backend.remove_folders(names)

    def free_bytes(self) -> int | None:
        return self._backend.free_bytes()

    def keep_reserve(self) -> None:
        with self._writing():
            self._backend.keep_reserve()

    @contextmanager
    def _reading(self, key: str = "") -> Iterator[None]:
        try:
            with watch.over(self.url):
                yield
        except FileNotFoundError:
            raise
        except self.refusals as error:
            raise self._problem(error, key) from error

    @contextmanager
    def _writing(self, key: str = "", need_bytes: int = 0) -> Iterator[None]:
        try:
            with watch.over(self.url):
                yield
        except self.refusals as error:
            raise self._problem(error, key, need_bytes) from error

    def _problem(self, error: Exception, key: str, need_bytes: int = 0) -> StorageProblem:
        return storage_problem(error, f"{self.url}/{key}", need_bytes, self.free_bytes())


def require_inside(key: str) -> str:
    """The key, where it stays inside the run directory. Raises ValueError: no caller makes another."""
    if key and not all(part not in ("", ".", "..") and "\0" not in part for part in key.split("/")):
        raise ValueError(f"{key!r} is no place inside a run directory")
    return key

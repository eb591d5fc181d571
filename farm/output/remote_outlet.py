"""Films in an object store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from farm.output.outlet import HASH_BLOCK_BYTES, ExistingOutput
from jobs.errors import StorageProblem
from jobs.hashing import sha256_of_blocks
from jobs.planning.output_names import temporary_name
from jobs.scratch import Scratch
from jobs.storage_problems import storage_problem
from jobs.store.medium import Medium
from jobs.store.remote import open_remote


class RemoteOutlet:
    """Objects below `url`. Each is made on this machine, uploaded under its temporary name, and copied to
    its own by the store, which shows a whole object or none."""

    appends = False

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._backend = open_remote(self.url)
        self._medium = Medium(self._backend)
        self._made = Scratch()

    def probe(self) -> None:
        key = temporary_name("probe")
        self._medium.replace(key, b"")
        self._medium.delete(key)

    def address(self, name: str) -> str:
        return f"{self.url}/{name}"

    def existing(self, names: Iterable[str]) -> dict[str, ExistingOutput]:
        entries = self._medium.entries("")
        taken = ((name, entries.get(name)) for name in names)
        return {name: ExistingOutput(entry.size, entry.stamp) for name, entry in taken if entry is not None}

    def find(self, name: str) -> ExistingOutput | None:
        entry = self._medium.stat(name)
        return None if entry is None else ExistingOutput(entry.size, entry.stamp)

    def sha256(self, name: str, first_bytes: int | None = None) -> str:
        with self._using(name):
            try:
                return sha256_of_blocks(self._backend.blocks(name, HASH_BLOCK_BYTES), first_bytes)
            except FileNotFoundError:
                return ""

    def workplace(self, temporary: str, name: str) -> Path:
        with self._using(name):
            path = self._made.folder() / name
            path.unlink(missing_ok=True)
            return path

    def upload(self, temporary: str, name: str) -> ExistingOutput:
        entry = self._medium.write(temporary, self._made.folder() / name)
        return ExistingOutput(entry.size, entry.stamp)

    def create(self, temporary: str, name: str) -> None:
        if self.find(name) is not None:
            raise FileExistsError(self.address(name))
        self.replace(temporary, name, "")

    def replace(self, temporary: str, name: str, aside: str) -> None:
        with self._using(name):
            self._backend.copy(temporary, name)
        with contextlib.suppress(StorageProblem):
            self.discard(temporary)

    def keep(self, name: str, older: str) -> None:
        with self._using(older):
            self._backend.copy(name, older)

    def discard(self, temporary: str) -> None:
        self._made.clear()
        self._medium.delete(temporary)

    def fetch(self, name: str, copies: Scratch) -> Path:
        target = copies.folder() / name
        with self._using(name):
            self._backend.download(name, target)
        return target

    @contextlib.contextmanager
    def _using(self, name: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except self._backend.refusals as error:
            raise storage_problem(error, self.address(name), 0, None) from error

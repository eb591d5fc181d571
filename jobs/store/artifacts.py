"""Artifacts as files of a store: read, copied and compared with what their commits say of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import CorruptArtifact
from jobs.hashing import sha256_of_bytes, sha256_of_file
from jobs.storage_problems import free_bytes_at, storage_problem
from jobs.store.documents import ARTIFACTS

if TYPE_CHECKING:
    from jobs.scratch import Scratch
    from jobs.store.backend import Backend, Entry
    from jobs.store.commits import Commit


class Artifacts:
    """What a store holds beside its records. A file that was verified once and was not touched since is not
    read again."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._verified: set[tuple[str, str]] = set()

    def trust(self, file: str, stamp: str) -> None:
        """This process wrote the file: what stands there under this stamp is whole."""
        self._verified.add((file, stamp))

    def present(self, commit: Commit) -> bool:
        """Whether the artifact is there, by its size."""
        entry = self._backend.stat(commit.file)
        return entry is not None and entry.size == commit.size

    def fault(self, commit: Commit, files: Mapping[str, Entry], doubted: bool) -> str:
        """What is wrong with an artifact among `files`, by name; empty where nothing is.

        It is hashed where its stamp differs from the one in the commit, and where it is `doubted`.
        """
        entry = files.get(commit.file.removeprefix(f"{ARTIFACTS}/"))
        if entry is None:
            return "is missing"
        if entry.size != commit.size:
            return f"has {entry.size} bytes instead of {commit.size}"
        if doubted or not commit.stamp or entry.stamp != commit.stamp:
            if self._sha256(commit.file) != commit.sha256:
                return "does not match its SHA-256"
            self.trust(commit.file, entry.stamp)
        return ""

    def read(self, commit: Commit) -> bytes:
        """The bytes, verified; raises CorruptArtifact where they are missing or altered."""
        try:
            data = self._backend.read(commit.file)
        except FileNotFoundError:
            raise self._corrupt(commit, "is missing") from None
        if len(data) != commit.size:
            raise self._corrupt(commit, f"has {len(data)} bytes instead of {commit.size}")
        if sha256_of_bytes(data) != commit.sha256:
            raise self._corrupt(commit, "does not match its SHA-256")
        return data

    def local(self, commit: Commit, copies: Scratch) -> Path:
        """A verified local file, in `copies` where the store is remote. Do not write to it.

        Raises CorruptArtifact, StorageProblem.
        """
        path = self._backend.path(commit.file)
        if path is None:
            return self._download(commit, copies.folder())
        entry = self._backend.stat(commit.file)
        if entry is None or (commit.file, entry.stamp) not in self._verified:
            fault = self.fault(commit, {Path(commit.file).name: entry} if entry else {}, doubted=True)
            if fault:
                raise self._corrupt(commit, fault)
        return path

    def _sha256(self, file: str) -> str:
        path = self._backend.path(file)
        try:
            return sha256_of_file(path) if path is not None else sha256_of_bytes(self._backend.read(file))
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise storage_problem(error, f"{self._backend.url}/{file}", 0, None) from error

    def _download(self, commit: Commit, folder: Path) -> Path:
        target = folder / Path(commit.file).name
        if not target.exists():
            _write_whole(target, self.read(commit))
        return target

    def _corrupt(self, commit: Commit, fault: str) -> CorruptArtifact:
        error = CorruptArtifact(
            f"{self._backend.url}/{commit.file} {fault}; it is discarded and rendered again. "
            "If this repeats, check the disk or the mount."
        )
        error.digest, error.path = commit.digest, f"{self._backend.url}/{commit.file}"
        return error


def _write_whole(target: Path, data: bytes) -> None:
    """Write a local file; it exists only with all its bytes. Raises StorageProblem."""
    partial = target.with_name(f".{target.name}")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise storage_problem(error, str(target), len(data), free_bytes_at(target.parent)) from error

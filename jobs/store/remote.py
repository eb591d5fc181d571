"""The store on object stores and in memory, through fsspec."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from jobs.errors import StoreUnusable
from jobs.store.backend import Entry, Place, leftovers_among

EXCLUSIVE = {"memory": "fsspec", "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
"""Schemes whose fsspec driver creates exclusively (`mode="create"`), and the package that brings it."""

REFUSALS = {
    "s3fs": ("botocore.exceptions:BotoCoreError",),
    "gcsfs": (
        "gcsfs.retry:HttpError",
        "aiohttp:ClientError",
        "google.auth.exceptions:GoogleAuthError",
    ),
}
"""By that package: the exceptions of its client that are no OSError, as when nothing answers."""

CONFLICT_TRIES = 5
READ_TIMEOUT_S = 10
TRIES = 2
ANSWER_S, SILENT_S = 60.0, 5.0
SLOWEST_BYTES_S = 256 * 1024
"""An upload is abandoned where it is slower than this, beside the time that any call may take."""

_memory_lock = threading.Lock()


def open_remote(url: str) -> RemoteBackend:
    """The backend for `scheme://...`; raises StoreUnusable for a scheme without exclusive create."""
    scheme = url.partition("://")[0]
    if scheme not in EXCLUSIVE:
        raise StoreUnusable(
            f"A store on {scheme}:// cannot create a file exclusively: two workers could commit one result. "
            f"Use a local or NFS directory, or one of {', '.join(f'{name}://' for name in EXCLUSIVE)}."
        )
    return RemoteBackend(remote_filesystem(scheme), scheme, url)


def remote_filesystem(scheme: str) -> Any:
    """The fsspec driver of an object store, which gives a server that does not answer up after a minute or
    two. Raises StoreUnusable where its package is missing."""
    import fsspec

    try:
        filesystem = fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise StoreUnusable(f"{scheme}:// needs the package {EXCLUSIVE[scheme]}: pip install it.") from error
    if scheme.startswith("s3"):
        # The client below tries five times by itself (AWS_MAX_ATTEMPTS), and its caller again.
        filesystem.read_timeout, filesystem.retries = READ_TIMEOUT_S, TRIES
    return filesystem


def refusals_of(url: str) -> tuple[type[Exception], ...]:
    """What is raised when the medium of a URL or path cannot be used."""
    scheme, remote, _ = url.partition("://")
    if not remote:
        return (OSError,)
    names = (name.partition(":") for name in REFUSALS.get(EXCLUSIVE.get(scheme, ""), ()))
    return OSError, *(getattr(import_module(module), kind) for module, _, kind in names)


class RemoteBackend:
    """Objects below `url`; every write is atomic, nothing is appended."""

    appends = False

    def __init__(self, filesystem: Any, scheme: str, url: str) -> None:
        self.filesystem, self.url = filesystem, url
        self.single_process = scheme == "memory"
        self.refusals = refusals_of(url)
        self._root = filesystem._strip_protocol(url)
        self._silent = False

    def place(self) -> Place:
        return Place(self._root)

    def path(self, key: str) -> Path | None:
        return None

    def read(self, key: str) -> bytes:
        return bytes(self._ask("cat_file", self._at(key), limit_s=None))

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        paths = {self._at(key): key for key in keys}
        if not paths:
            return {}
        found = self._ask("cat", list(paths), on_error="return", limit_s=None)
        for error in found.values():
            # What cannot be read now is not what is not there.
            if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                raise error
        return {paths[path]: bytes(data) for path, data in found.items() if not isinstance(data, Exception)}

    def write(self, key: str, data: bytes | memoryview | Path) -> Entry:
        if isinstance(data, Path):
            self._ask("put_file", str(data), self._at(key), limit_s=_upload_s(data.stat().st_size))
        else:
            self._ask("pipe_file", self._at(key), bytes(data), limit_s=_upload_s(len(data)))
        entry = self.stat(key)
        if entry is None:
            raise OSError(f"{self.url}/{key} was written and is not there")
        return entry

    def create(self, key: str, data: bytes) -> bool:
        for attempt in range(CONFLICT_TRIES):
            try:
                with _memory_lock:
                    self._ask("pipe_file", self._at(key), data, mode="create")
                return True
            except OSError as error:
                if _exists_already(error):
                    return False
                if not _in_conflict(error) or attempt == CONFLICT_TRIES - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
        return False

    def replace(self, key: str, data: bytes) -> None:
        self._ask("pipe_file", self._at(key), data, limit_s=_upload_s(len(data)))

    def copy(self, source: str, target: str) -> None:
        """Copy within the store; readers of `target` see the old object or the new one. Raises
        FileNotFoundError."""
        self.filesystem.cp_file(self._at(source), self._at(target))

    def blocks(self, key: str, block_bytes: int) -> Iterator[bytes]:
        """The object's bytes, a block at a time. Raises FileNotFoundError."""
        with self.filesystem.open(self._at(key), "rb", block_size=block_bytes) as file:
            while block := file.read(block_bytes):
                yield block

    def download(self, key: str, target: Path) -> None:
        """Copy the object to a local file. Raises FileNotFoundError."""
        self.filesystem.get_file(self._at(key), str(target))

    def append(self, key: str, data: bytes) -> None:
        raise NotImplementedError("object stores do not append; write numbered parts")

    def touch(self, key: str, data: bytes) -> None:
        self.replace(key, data)

    def delete(self, key: str) -> bool:
        try:
            present = self.stat(key) is not None
            self._ask("rm_file", self._at(key))
        except FileNotFoundError:
            return False
        return present

    def entries(self, folder: str) -> dict[str, Entry]:
        try:
            found = self._ask("ls", self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        files = (info for info in found if info["type"] == "file")
        return {info["name"].rsplit("/", 1)[1]: _entry(info) for info in files}

    def stat(self, key: str) -> Entry | None:
        try:
            return _entry(self._ask("info", self._at(key)))
        except FileNotFoundError:
            return None

    def leftovers(self, older_s: float) -> list[str]:
        try:
            found = self._ask("ls", self._root, detail=True)
        except FileNotFoundError:
            return []
        times = {i["name"].rsplit("/", 1)[1]: _written_s(i) for i in found if i["type"] == "file"}
        return leftovers_among({name: at_s for name, at_s in times.items() if at_s is not None}, older_s)

    def folders(self) -> list[str]:
        try:
            found = self._ask("ls", self._root.rsplit("/", 1)[0], detail=True)
        except FileNotFoundError:
            return []
        return sorted(i["name"].rstrip("/").rsplit("/", 1)[1] for i in found if i["type"] == "directory")

    def remove_folders(self, names: Iterable[str]) -> tuple[str, ...]:
        try:
            found = self.filesystem.find(self._root)
        except FileNotFoundError:
            return ()
        return tuple(sorted(path.removeprefix(f"{self._root}/") for path in found))

    def free_bytes(self) -> int | None:
        return None

    def keep_reserve(self) -> None:
        """Nothing to do: an object store does not fill up."""

    def _ask(self, method: str, *values: Any, limit_s: float | None = ANSWER_S, **options: Any) -> Any:
        """What the driver's method gives. Raises TimeoutError where that takes longer than the limit, or than
        a few seconds once a call was abandoned: whoever abandons a silent store has things to write yet.

        The client's own limits do not hold while it waits for leave to send.
        """
        if self._silent:
            limit_s = SILENT_S
        if getattr(self.filesystem, "async_impl", False):
            options["timeout"] = limit_s
        began_s = time.monotonic()
        try:
            answer = getattr(self.filesystem, method)(*values, **options)
        except Exception as error:
            self._silent = time.monotonic() - began_s >= SILENT_S
            if isinstance(error, TimeoutError):
                raise TimeoutError(errno.ETIMEDOUT, f"no answer within {limit_s:.0f} s") from error
            raise
        self._silent = False
        return answer

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}"


def _upload_s(size_bytes: int) -> float:
    return ANSWER_S + size_bytes / SLOWEST_BYTES_S


def _entry(info: dict[str, Any]) -> Entry:
    mark = info.get("ETag") or info.get("etag") or info.get("generation") or ""
    return Entry(size=int(info["size"]), stamp=str(mark).strip('"'))


def _written_s(info: dict[str, Any]) -> float | None:
    """When the object was written, by the store's clock, where the driver says so."""
    at = info.get("LastModified") or info.get("mtime") or info.get("created")
    return at.timestamp() if isinstance(at, datetime) else None


def _code(error: OSError) -> str:
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else ""


def _exists_already(error: OSError) -> bool:
    # Servers other than AWS leave out which condition failed, and the driver then reports EINVAL.
    return isinstance(error, FileExistsError) or _code(error) in {"PreconditionFailed", "412"}


def _in_conflict(error: OSError) -> bool:
    return _code(error) in {"ConditionalRequestConflict", "OperationAborted", "409"}

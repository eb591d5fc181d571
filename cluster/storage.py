"""Proof that a worker's node sees the same storage as the driver.

The driver plants a file with a random text in each directory; a worker that reads that text back, and can
create a file beside it, shares the directory. Anything else ends in a film that only one node can see.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec

from cluster.failures import CallFailure
from jobs.errors import FailureKind, StoreUnusable
from jobs.storage_problems import FULL
from jobs.store.remote import refusals_of


@dataclass(frozen=True, slots=True)
class StorageProof:
    """What a worker must be able to see: planted files with their text, and input files with their sizes."""

    planted: tuple[str, ...] = ()
    nonce: str = ""
    inputs: tuple[tuple[str, int], ...] = ()


def plant(directories: Sequence[str], inputs: Sequence[str] = ()) -> StorageProof:
    """Write the nonce into each directory (a path or an fsspec URL). Raises `StoreUnusable`."""
    nonce = secrets.token_hex(16)
    planted = tuple(
        f"{directory.rstrip('/')}/.farm-probe-{nonce}" for directory in dict.fromkeys(directories)
    )
    for url in planted:
        try:
            _write(url, nonce)
        except refusals_of(url) as error:
            raise StoreUnusable(
                f"cannot write {url}: {error}. Give `--runs` and `output.dir` places that can be written."
            ) from error
    return StorageProof(planted, nonce, tuple((path, Path(path).stat().st_size) for path in inputs))


def uproot(proof: StorageProof) -> None:
    """Remove what `plant` wrote. What the medium refuses stays: the render has ended, and has said why."""
    for url in proof.planted:
        with suppress(*refusals_of(url)):
            _remove(url)


def unseen(proof: StorageProof) -> list[str]:
    """On a worker's node: what of the proof is not seen or not writable there, one line each.

    A full disk can be shared all the same: the worker says so when it opens the store.
    """
    return [*_unseen_directories(proof), *_unseen_inputs(proof)]


def not_shared(worker: str, host: str, lines: Sequence[str]) -> CallFailure:
    """Why a worker on `host` cannot serve, from what is `unseen` there."""
    message = (
        f"worker {worker} on {host} does not share the driver's storage: {'; '.join(lines)}. "
        "Put runs, output and inputs on storage that every node mounts at the same path."
    )
    return CallFailure(FailureKind.INVALID, message, worker_gone=True)


def _unseen_directories(proof: StorageProof) -> list[str]:
    lines = []
    for url in proof.planted:
        directory, mine = url.rpartition("/")[0], f"{url}.{secrets.token_hex(4)}"
        try:
            if _read(url) != proof.nonce:
                lines.append(f"{directory} is another directory there")
            _write(mine, proof.nonce)
            _remove(mine)
        except FileNotFoundError:
            lines.append(f"{directory} is not shared: what the driver wrote is not there")
        except refusals_of(url) as error:
            if getattr(error, "errno", None) not in FULL:
                lines.append(f"{directory}: {error}")
            with suppress(*refusals_of(url)):
                _remove(mine)
    return lines


def _unseen_inputs(proof: StorageProof) -> list[str]:
    lines = []
    for path, size in proof.inputs:
        try:
            found = Path(path).stat().st_size
        except OSError as error:
            lines.append(f"input {path}: {error.strerror or error}")
            continue
        if found != size:
            lines.append(f"input {path} has {found} bytes there and {size} bytes for the driver")
    return lines


def _write(url: str, text: str) -> None:
    system, path = fsspec.core.url_to_fs(url)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(path, text.encode())


def _read(url: str) -> str:
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    data: bytes = system.cat_file(path)
    return data.decode()


def _remove(url: str) -> None:
    system, path = fsspec.core.url_to_fs(url)
    if system.exists(path):
        system.rm_file(path)

"""A folder as the package that Ray unpacks for a job: a zip without what the ignore files name."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from pathspec import GitIgnoreSpec

from jobs.errors import Problem, UsageError

MOST_BYTES = 100 * 2**20
"""What Ray takes by default, and less than it: a package of this size is refused."""
IGNORE_FILES = (".gitignore", ".rayignore")
ALWAYS_LEFT_OUT = ".git,.venv,venv,__pycache__"
WITHOUT_GITIGNORE = "RAY_RUNTIME_ENV_IGNORE_GITIGNORE"
LEFT_OUT_INSTEAD = "RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"

Ignored = tuple[tuple[Path, GitIgnoreSpec], ...]
"""Patterns, each with the folder that they are relative to."""


class _Full(OSError):
    """No more fits into a package."""


class _Bounded(io.BytesIO):
    """Memory that takes less than `MOST_BYTES`."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) >= MOST_BYTES:
            raise _Full
        return super().write(data)


def package(folder: Path) -> tuple[str, bytes]:
    """The package's name, which its content gives, and the zip. Raises UsageError for what is no folder, or
    is too large."""
    if not folder.is_dir():
        raise _refused(folder, "a folder to upload", "name one that is there")
    digest, buffer = hashlib.sha256(), _Bounded()
    try:
        with ZipFile(buffer, "w", ZIP_DEFLATED, strict_timestamps=False) as archive:
            for path in sorted(_files(folder, ((folder, _always()),), (folder.resolve(),))):
                name = path.relative_to(folder).as_posix()
                archive.write(path, name)
                digest.update(f"{name}\0".encode() + _sha256(path))
    except _Full:
        rule = f"less than {MOST_BYTES // 2**20} MiB when packed"
        remedy = "name what can stay here in a .rayignore, or put the folder on shared storage"
        raise _refused(folder, rule, remedy) from None
    return f"_ray_pkg_{digest.hexdigest()[:40]}.zip", buffer.getvalue()


def _sha256(path: Path) -> bytes:
    if path.is_dir():
        return b""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _refused(folder: Path, rule: str, remedy: str) -> UsageError:
    return UsageError([Problem("--working-dir", str(folder), rule, remedy)])


def _always() -> GitIgnoreSpec:
    """What Ray leaves out of every folder, or what its own variable names instead."""
    return GitIgnoreSpec.from_lines(os.environ.get(LEFT_OUT_INSTEAD, ALWAYS_LEFT_OUT).split(","))


def _files(folder: Path, ignored: Ignored, above: tuple[Path, ...]) -> Iterator[Path]:
    """Files and empty folders. `above` are the folders on the way, by which a link back is known."""
    ignored += tuple((folder, spec) for spec in _ignore_files(folder))
    entries = [path for path in folder.iterdir() if not _is_ignored(path, ignored)]
    if not entries and len(above) > 1:
        yield folder
    for path in entries:
        if path.is_file():
            yield path
        elif path.is_dir() and path.resolve() not in above:
            yield from _files(path, ignored, (*above, path.resolve()))


def _ignore_files(folder: Path) -> Iterator[GitIgnoreSpec]:
    for name in IGNORE_FILES:
        if name == ".gitignore" and os.environ.get(WITHOUT_GITIGNORE) == "1":
            continue
        if (folder / name).is_file():
            yield GitIgnoreSpec.from_lines((folder / name).read_text().splitlines())


def _is_ignored(path: Path, ignored: Ignored) -> bool:
    slash = "/" if path.is_dir() else ""
    return any(spec.match_file(f"{path.relative_to(home).as_posix()}{slash}") for home, spec in ignored)

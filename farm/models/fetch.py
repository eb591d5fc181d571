"""Fetching model files: resumed where it stopped, verified, and recorded beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from farm.models.survey import HubFile, HubRepo, endpoint, hub_errors
from jobs.errors import CannotRun, Problem, UsageError
from jobs.records import Form, Unreadable, newer_than, unseal

RECORD = "farm-models.json"
PIECE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """One file as it was fetched and verified; `sha256` is that of the bytes on disk."""

    repo: str
    revision: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelsResult:
    """`farm models get`: `engine` are fields of a spec's `engine`, `files` what lies verified in `folder`."""

    recipe: str
    folder: str
    fetched: int
    engine: dict[str, Any]
    files: tuple[Fetched, ...]


@dataclass(frozen=True, slots=True)
class DownloadRecord:
    """What `farm-models.json` holds: files by `repo/path`."""

    files: dict[str, Fetched] = field(default_factory=dict)

    @property
    def pins(self) -> dict[str, str]:
        """Revisions by repository: what was fetched once is fetched again."""
        return {file.repo: file.revision for file in self.files.values()}


RECORD_FORM = Form(RECORD, DownloadRecord)


def read_record(folder: Path) -> DownloadRecord:
    """The record of a folder of models, which is going to be written anew; an empty one where there is none.
    Raises UsageError for a damaged one, NewerFormat."""
    path = folder / RECORD
    try:
        data = path.read_bytes()
        if newer := newer_than(RECORD_FORM, unseal(data)):
            raise newer
        return RECORD_FORM.decode(data)
    except FileNotFoundError:
        return DownloadRecord()
    except (OSError, Unreadable) as error:
        reason = getattr(error, "strerror", None) or f"is damaged: {error}"
        remedy = "remove it: the files are then verified against the hub alone"
        raise UsageError([Problem("--to", f"{path} {reason}", "a record of the farm", remedy)]) from None


@dataclass(frozen=True, slots=True)
class DownloadState:
    """Files that are there and verified, and those that are to be fetched."""

    there: tuple[Fetched, ...]
    missing: tuple[HubFile, ...]

    @property
    def bytes_missing(self) -> int:
        return sum(file.size for file in self.missing)


def look(repos: Iterable[HubRepo], folder: Path, record: DownloadRecord) -> DownloadState:
    """What is there already. Files of other content that the farm did not fetch are refused, not replaced."""
    there, missing, foreign = [], [], []
    for file in (file for repo in repos for file in repo.files):
        path = folder / file.place
        if not path.exists():
            missing.append(file)
        elif sha256 := _verified(path, file, record.files.get(file.key)):
            there.append(Fetched(file.repo, file.revision, file.path, file.size, sha256))
        elif file.key in record.files:
            missing.append(file)
        else:
            foreign.append(path)
    if foreign:
        rule = "a file of the same content, or none"
        raise UsageError(
            [Problem("--to", f"{path}", rule, "move it, or name another folder") for path in foreign]
        )
    return DownloadState(tuple(there), tuple(missing))


def fetch(
    state: DownloadState, folder: Path, record: DownloadRecord, said: Callable[[str], None]
) -> DownloadRecord:
    """Every missing file, one by one, each verified and recorded before the next.

    A transfer that stops goes on with the next call. Raises CannotRun where the hub, the disk or a hash
    fails; what was fetched before that stays.
    """
    _require_room(state.bytes_missing, folder)
    files = {**record.files, **{f"{file.repo}/{file.path}": file for file in state.there}}
    for file in state.missing:
        said(f"fetching {file.key} at {file.revision[:12]}, {size_text(file.size)}")
        files[file.key] = _fetched(file, folder)
        _write(folder, DownloadRecord(files))
    _write(folder, DownloadRecord(files))
    return DownloadRecord(files)


def _fetched(file: HubFile, folder: Path) -> Fetched:
    path = folder / file.place
    part = path.with_name(f".{path.name}.{(file.sha256 or file.blob or file.revision)[:12]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    with hub_errors(file.repo, lambda reason: f"{file.path}: {reason} It goes on where it stopped."):
        _transfer(file, part)
    sha256 = _verified(part, file, None)
    if sha256 is None:
        part.unlink()
        raise CannotRun(
            f"{file.key}: what came is not what the hub names ({file.sha256 or file.blob}); it was removed. "
            "Run the same command again; if it happens twice, a proxy may change files on the way."
        )
    part.replace(path)
    return Fetched(file.repo, file.revision, file.path, file.size, sha256)


def _transfer(file: HubFile, part: Path) -> None:
    """The rest of the file behind what `part` holds. huggingface_hub's own downloads begin anew with each
    call, which a file of 46 GB does not stand; its transfer goes on where it is asked to."""
    from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url, http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(file.repo, file.path, revision=file.revision, endpoint=endpoint())
    metadata = get_hf_file_metadata(url, endpoint=endpoint())
    headers = build_hf_headers()
    if urlparse(metadata.location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)
    part.touch()
    with part.open("r+b") as opened:
        have = opened.seek(0, os.SEEK_END)
        if have < file.size:
            http_get(metadata.location, opened, resume_size=have, headers=headers, expected_size=file.size)


def _verified(path: Path, file: HubFile, recorded: Fetched | None) -> str | None:
    """SHA-256 of the file where size and hash are those of the hub and of the record, else None."""
    if path.stat().st_size != file.size:
        return None
    sha256, blob = _hashes(path)
    expected = file.sha256 or (recorded.sha256 if recorded and recorded.revision == file.revision else None)
    if file.sha256 is None and file.blob is not None and blob != file.blob:
        return None
    return sha256 if expected in (None, sha256) else None


def _hashes(path: Path) -> tuple[str, str]:
    """SHA-256, and git's SHA-1 of the file as a blob."""
    sha256, blob = hashlib.sha256(), hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            sha256.update(piece)
            blob.update(piece)
    return sha256.hexdigest(), blob.hexdigest()


def _require_room(needed: int, folder: Path) -> None:
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    if needed > free:
        raise CannotRun(
            f"{folder}: {size_text(needed)} are needed and {size_text(free)} are free; make room, or name "
            "another folder with --to."
        )


def _write(folder: Path, record: DownloadRecord) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECORD
    fresh = path.with_name(f".{RECORD}.{os.getpid()}")
    fresh.write_bytes(RECORD_FORM.encode(record))
    fresh.replace(path)


def size_text(count: int) -> str:
    """`25.6 GB`, `731 kB`; powers of 1000, as the hub writes sizes."""
    value: Any = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.1f} GB"

"""Digests of files and folders, and what is remembered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import jobs.files
from jobs.errors import SpecError
from jobs.files import FileDigests, file_digest


def test_a_file_has_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    assert file_digest(path) == hashlib.sha256(b"content").hexdigest()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    before = file_digest(path)
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(1, 1))
    assert file_digest(path) != before


def test_a_large_file_is_read_once_over_many_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other, cache = tmp_path / "a.bin", tmp_path / "b.bin", tmp_path / "runs" / "digests.json"
    path.write_bytes(b"content")
    other.write_bytes(b"other")
    monkeypatch.setattr(jobs.files, "LARGE_BYTES", 1)
    first, second = FileDigests(cache), FileDigests(cache)
    digests = [first.digest(path), second.digest(other)]
    monkeypatch.setattr(jobs.files, "_sha256", lambda read: pytest.fail(f"{read} was read again"))
    third = FileDigests(cache)
    assert [third.digest(path), third.digest(other)] == digests


def test_a_process_remembers_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.files, "_of_process", FileDigests())
    monkeypatch.setattr(jobs.files, "LARGE_BYTES", 1)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    jobs.files.remember_in(tmp_path / "digests.json")
    assert file_digest(path) in (tmp_path / "digests.json").read_text()


def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    path, cache = tmp_path / "a.bin", tmp_path / "digests.json"
    path.write_bytes(b"content")
    for text in ("{", "[]", '{"x": 3}'):
        cache.write_text(text)
        assert FileDigests(cache).digest(path) == hashlib.sha256(b"content").hexdigest()


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    for name, content in (("a/x", b"1"), ("a/sub/y", b"2"), ("b/x", b"1"), ("b/sub/y", b"2"), ("c/x", b"1")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b") != file_digest(tmp_path / "c")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="restore the file"):
        file_digest(tmp_path / "missing")


def test_runs_share_a_memory_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.files, "_of_process", FileDigests())
    monkeypatch.setattr(jobs.files, "LARGE_BYTES", 1)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    jobs.files.remember_beside(None)
    file_digest(path)
    assert list(tmp_path.iterdir()) == [path]
    jobs.files.remember_beside(tmp_path / "runs" / "job")
    assert file_digest(path) in (tmp_path / "runs" / jobs.files.CACHE).read_text()

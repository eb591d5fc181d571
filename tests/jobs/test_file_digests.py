"""Digests of files and folders, and what is remembered."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

import jobs.file_digests
from jobs.errors import SpecError
from jobs.file_digests import FileDigests, digest_ahead, file_digest
from jobs.hashing import sha256_of_file


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
    path, other, cache = tmp_path / "a.bin", tmp_path / "b.bin", tmp_path / "digests.json"
    path.write_bytes(b"content")
    other.write_bytes(b"other")
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    first, second = FileDigests(cache), FileDigests(cache)
    digests = [first.digest(path), second.digest(other)]
    monkeypatch.setattr(
        jobs.file_digests, "sha256_of_file", lambda read: pytest.fail(f"{read} was read again")
    )
    third = FileDigests(cache)
    assert [third.digest(path), third.digest(other)] == digests


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_what_is_remembered_has_the_rights_that_the_umask_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int
) -> None:
    path, cache = tmp_path / "a.bin", tmp_path / "digests.json"
    path.write_bytes(b"content")
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    before = os.umask(umask)
    try:
        FileDigests(cache).digest(path)
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o777 == mode
    assert sorted(tmp_path.iterdir()) == [path, cache]


def test_a_process_remembers_where_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.file_digests, "_of_process", FileDigests())
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    jobs.file_digests.remember_in(tmp_path / "digests.json")
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
    with pytest.raises(SpecError, match="restore the file") as refusal:
        file_digest(tmp_path / "missing")
    (problem,) = refusal.value.problems
    assert (problem.place, problem.value) == (str(tmp_path / "missing"), "No such file or directory")


def test_runs_share_a_memory_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.file_digests, "_of_process", FileDigests())
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "node"))
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    jobs.file_digests.remember_beside(None)
    assert file_digest(path) in (tmp_path / "node" / "ltx-farm" / "file-digests.json").read_text()
    (tmp_path / "runs").mkdir()
    jobs.file_digests.remember_beside(tmp_path / "runs" / "job")
    assert file_digest(path) in (tmp_path / "runs" / jobs.file_digests.CACHE).read_text()


def test_a_node_that_can_remember_nothing_reads_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.file_digests, "_of_process", FileDigests())
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    jobs.file_digests.remember_beside(None)
    assert file_digest(path) == hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each time that a file was read, slowly, in whichever process."""
    log, read = tmp_path / "readings", sha256_of_file
    log.touch()

    def slowly(path: Path) -> str:
        with log.open("a") as lines:
            lines.write(f"{path}\n")
        time.sleep(0.3)
        return read(path)

    monkeypatch.setattr(jobs.file_digests, "sha256_of_file", slowly)
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    return log


def test_a_digest_under_way_is_waited_for(
    tmp_path: Path, readings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.file_digests, "_of_process", FileDigests())
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    for path in (first, second):
        path.write_bytes(path.name.encode())
    digest_ahead([tmp_path / "missing", first, second])
    while not readings.read_text():
        time.sleep(0.01)
    assert [file_digest(path) for path in (second, first)] == [
        hashlib.sha256(path.name.encode()).hexdigest() for path in (second, first)
    ]
    assert sorted(readings.read_text().split()) == [str(first), str(second)]


@pytest.mark.parametrize(("writable", "read"), [(True, 1), (False, 3)])
def test_one_process_of_a_node_reads_for_all(
    tmp_path: Path, readings: Path, writable: bool, read: int
) -> None:
    path, folder = tmp_path / "a.bin", tmp_path / "runs"
    path.write_bytes(b"content")
    if writable:
        folder.mkdir()
    context = multiprocessing.get_context("fork")
    start = context.Barrier(3)

    def digest() -> None:
        start.wait()
        right = FileDigests(folder / "digests.json").digest(path) == hashlib.sha256(b"content").hexdigest()
        os._exit(0 if right else 1)

    workers = [context.Process(target=digest) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(readings.read_text().split()) == read


@pytest.mark.parametrize("trap", ["link", "link to a folder", "file", "open to others"])
def test_the_lock_of_a_large_file_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    """Whatever stands in the temporary folder under the farm's names, nothing is written through it."""
    temporary, elsewhere, canary = tmp_path / "tmp", tmp_path / "elsewhere", tmp_path / "canary"
    temporary.mkdir()
    elsewhere.mkdir()
    canary.write_text("alive")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    path = tmp_path / "a.bin"
    path.write_bytes(b"content")
    status = path.stat()
    key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    place = temporary / f"ltx-farm-{os.getuid()}"
    match trap:
        case "link":
            (temporary / f"ltx-farm-{os.getuid()}-{name}.lock").symlink_to(canary)
            place.symlink_to(canary)
        case "link to a folder":
            place.symlink_to(elsewhere)
        case "file":
            place.touch()
        case _:
            place.mkdir()
            place.chmod(0o777)
    assert FileDigests(tmp_path / "digests.json").digest(path) == hashlib.sha256(b"content").hexdigest()
    assert canary.read_text() == "alive"
    assert list(elsewhere.iterdir()) == []
    assert not place.is_dir() or list(place.iterdir()) == []


def test_the_lock_lies_in_a_private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(jobs.file_digests, "LARGE_BYTES", 1)
    (tmp_path / "a.bin").write_bytes(b"content")
    FileDigests(tmp_path / "digests.json").digest(tmp_path / "a.bin")
    (lock,) = (tmp_path / f"ltx-farm-{os.getuid()}").iterdir()
    assert lock.suffix == ".lock"
    assert lock.parent.stat().st_mode & 0o777 == 0o700

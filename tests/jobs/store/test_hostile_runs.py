"""A run directory from somebody else: nothing outside it is deleted, written or waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.errors import StorageProblem
from jobs.records import seal
from jobs.store.commits import Commit, decode_commit, encode_commit
from jobs.store.opening import open_backend
from jobs.store.store import Store

DIGEST, OTHER = "a" * 64, "b" * 64
OWN = f"artifacts/{DIGEST}.1-0123456789ab.safetensors"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "canary.json"
    path.write_text("alive")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "runs"), "harbor")


def record(file: str, digest: str = DIGEST) -> bytes:
    return seal({"digest": digest, "file": file, "size": 5, "sha256": "0", "provenance": {}, "stamp": ""})


ESCAPES = [
    "../../canary.json", "artifacts/../../../canary.json", "/etc/passwd", "state.json", "spec.yaml",
    "commits/" + DIGEST + ".json", f"artifacts/{OTHER}.1-0123456789ab.safetensors", "artifacts/",
    f"artifacts/{DIGEST}", f"artifacts/{DIGEST}.", f"artifacts/{DIGEST}./../../../canary.json", OWN + "\n",
]  # fmt: skip


@pytest.mark.parametrize("file", ESCAPES)
@pytest.mark.parametrize("folder", ["commits", "evicted"])
def test_a_commit_deletes_no_file_but_its_own(store: Store, canary: Path, folder: str, file: str) -> None:
    assert decode_commit(record(OWN), DIGEST) is not None
    for name in ("state.json", "spec.yaml"):
        store.backend.replace(name, b"kept")
    other = store.put(OTHER, 1, "safetensors", b"other", {})
    store.backend.replace(f"{folder}/{DIGEST}.json", record(file))
    checked = store.check()
    assert [digest for digest, _ in checked.damage] == ([DIGEST] if folder == "commits" else [])
    assert store.void([DIGEST]) == 1
    store.sweep(checked)
    assert canary.read_text() == "alive"
    assert store.backend.read("state.json") == store.backend.read("spec.yaml") == b"kept"
    assert store.read(other) == b"other"


@pytest.mark.parametrize("digest", ["../canary", "../../canary", "/tmp/canary", "", "."])
def test_a_digest_names_no_file_elsewhere(store: Store, canary: Path, digest: str) -> None:
    forged = Commit(digest, f"artifacts/{digest}.1-0.safetensors", 5, "0")
    assert decode_commit(encode_commit(forged), digest) is None
    if "/" in digest:
        with pytest.raises(ValueError, match="inside a run directory"):
            store.void([digest])
    assert canary.read_text() == "alive"


@pytest.mark.parametrize("runs", ["local", "memory"])
@pytest.mark.parametrize("key", ["../x", "a/../x", "/x", "a//x", "./x", "a/\0"])
def test_no_key_leads_out_of_the_run_directory(tmp_path: Path, runs: str, key: str) -> None:
    backend = open_backend(str(tmp_path) if runs == "local" else "memory://hostile", "harbor")
    for act in (backend.read, backend.delete, backend.stat, backend.path, backend.entries):
        with pytest.raises(ValueError, match="inside a run directory"):
            act(key)
    for write in (backend.create, backend.replace, backend.append, backend.touch, backend.write):
        with pytest.raises(ValueError, match="inside a run directory"):
            write(key, b"x")


@pytest.mark.parametrize("name", ["artifacts", "commits", "evicted", "events", "lock", "requests"])
def test_a_folder_that_is_a_link_is_not_written_into(store: Store, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("alive")
    (tmp_path / "runs" / "harbor").mkdir(exist_ok=True)
    (tmp_path / "runs" / "harbor" / name).symlink_to(elsewhere)
    backend = store.backend
    with pytest.raises(StorageProblem, match="a symbolic link stands"):
        backend.delete(f"{name}/mine.txt")
    for write in (backend.create, backend.replace, backend.append, backend.touch, backend.write):
        with pytest.raises(StorageProblem, match="a symbolic link stands"):
            write(f"{name}/new.txt", b"x")
    if name == "artifacts":
        orphan = elsewhere / f"{'ab' * 32}.1-00.bin"
        orphan.write_text("alive")
        with pytest.raises(StorageProblem):
            store.sweep(store.check())
        orphan.unlink()
    store.append_event({"event": "notice"})
    assert {file.name: file.read_text() for file in elsewhere.iterdir()} == {"mine.txt": "alive"}


def test_a_file_that_is_a_link_is_replaced_and_not_followed(store: Store, canary: Path) -> None:
    run = Path(store.url)
    for name in ("state.json", "lock-1", "log"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).symlink_to(canary)
    before = canary.stat().st_mtime_ns
    store.backend.replace("state.json", b"new")
    store.backend.touch("lock-1", b"")
    with pytest.raises(StorageProblem):
        store.backend.append("log", b"x")
    assert canary.read_text() == "alive"
    assert canary.stat().st_mtime_ns == before
    assert not (run / "state.json").is_symlink()


def test_a_pipe_or_a_device_is_not_read(store: Store) -> None:
    run = Path(store.url)
    os.mkfifo(run / "state.json")
    (run / "plan.json").symlink_to("/dev/zero")
    for name in ("state.json", "plan.json"):
        with pytest.raises(StorageProblem, match="no regular file"):
            store.backend.read(name)

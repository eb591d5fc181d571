"""What only mounted file systems do: full disks, permissions, missing hard links."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import StorageProblem, StoreUnusable
from jobs.store.documents import STATE
from jobs.store.local import RESERVE_BYTES
from jobs.store.store import Store

DIGEST = "ab" * 32
MIB = 1 << 20


@pytest.fixture
def full_soon(tmp_path: Path, small_disk: Callable[[Path, int], None]) -> Path:
    """A file system of 2 MiB."""
    small_disk(tmp_path / "disk", 2)
    return tmp_path / "disk"


def in_child(action: Callable[[], None]) -> str:
    """Run in a forked child that may give up its rights; what it raised, as text."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
            text = "nothing raised"
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(send, text.encode())
        os._exit(0)
    os.close(send)
    os.waitpid(pid, 0)
    with os.fdopen(receive, "rb") as answer:
        return answer.read().decode()


def test_a_full_disk_is_named_with_path_need_and_free(full_soon: Path) -> None:
    store = Store.open(str(full_soon), "harbor")
    with store.lock():
        store.put(DIGEST, 1, "bin", b"x" * MIB, {})
        with pytest.raises(
            StorageProblem, match=r"disk is full.*\. Make space there, then resume the job"
        ) as caught:
            store.put("cd" * 32, 1, "bin", b"y" * MIB, {})
        problem = caught.value
        assert problem.path.startswith(f"{full_soon}/harbor/artifacts/{'cd' * 32}.1-")
        assert problem.need_bytes == MIB
        assert problem.free_bytes is not None
        assert 0 < problem.free_bytes < MIB
        assert store.commit("cd" * 32) is None
        assert len(store.backend.entries("artifacts")) == 1


def test_state_and_events_are_written_on_a_full_disk(full_soon: Path) -> None:
    store = Store.open(str(full_soon), "harbor")
    with store.lock() as lock:
        filler = full_soon / "filler"
        with filler.open("wb", buffering=0) as out, pytest.raises(OSError, match="No space"):
            all(out.write(b"z" * 4096) for _ in itertools.count())
        store.write_json(STATE, {"outcome": "paused"})
        store.append_event({"event": "paused"})
        lock.beat()
        assert store.read_json(STATE) == {"outcome": "paused"}
        assert [line.data for line in store.event_lines()] == [b'{"event":"paused"}']
        with pytest.raises(StorageProblem):
            store.put(DIGEST, 1, "bin", b"x" * RESERVE_BYTES, {})
        for _ in range(100):
            store.append_event({"event": "x" * 4096})
        filler.unlink()
        store.append_event({"event": "mended"})
        whole = [line for line in store.event_lines() if line.data.endswith(b"}")]
        assert len(whole) == 102
        assert store.read(store.put(DIGEST, 2, "bin", b"x" * MIB, {})) == b"x" * MIB


def test_a_file_size_limit_is_a_storage_problem(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "harbor")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        store.put(DIGEST, 1, "bin", b"x" * 8192, {})

    assert "file-size limit is reached (needs 8,192 bytes" in in_child(limited)
    assert store.backend.entries("artifacts") == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user, which root alone may")
def test_a_missing_permission_is_a_storage_problem(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "harbor")

    def as_nobody() -> None:
        os.setuid(65534)
        store.put(DIGEST, 1, "bin", b"x", {})

    said = in_child(as_nobody)
    assert said.startswith("AccessDenied: ")
    assert "permission denied (/" in said
    assert ", and you are nobody). Ask root to do it, or for a folder of a group that you both are in" in said

    def open_as_nobody() -> None:
        os.setuid(65534)
        Store.open(str(tmp_path), "other")

    assert in_child(open_as_nobody).startswith("StoreUnusable: Cannot write")


def test_a_file_in_the_way_makes_the_store_unusable(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(StoreUnusable):
        Store.open(str(tmp_path / "runs"), "harbor")


def test_without_hard_links_the_record_is_still_exclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    store = Store.open(str(tmp_path), "harbor")
    first = store.put(DIGEST, 1, "bin", b"first", {})
    assert store.put(DIGEST, 2, "bin", b"second", {}) == first


def test_a_link_whose_answer_was_lost_counts_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def repeated(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    store = Store.open(str(tmp_path), "harbor")
    monkeypatch.setattr(os, "link", repeated)
    assert store.backend.create("commits/x.json", b"x")


@pytest.mark.parametrize("instead", [(), ("artifacts", "commits")], ids=["nothing", "other folders"])
def test_nothing_is_written_to_what_stands_where_the_job_was(
    tmp_path: Path, instead: tuple[str, ...]
) -> None:
    """The mount was lost, or the directory moved, while the job was rendered."""
    store, place = Store.open(str(tmp_path), "harbor"), tmp_path / "harbor"
    with store.lock():
        store.put(DIGEST, 1, "bin", b"x", {})
        place.rename(tmp_path / "moved")
        for folder in instead:
            (place / folder).mkdir(parents=True)
        with pytest.raises(StorageProblem, match="the folder is not there any more"):
            store.put("cd" * 32, 1, "bin", b"y", {})
    assert [path for path in place.rglob("*") if path.is_file()] == []


def test_nothing_is_left_beside_the_results(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "harbor")
    commit = store.put(DIGEST, 1, "bin", b"x", {})
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"harbor/{commit.file}", f"harbor/commits/{DIGEST}.json"}


def test_a_process_killed_in_a_write_leaves_no_result(tmp_path: Path) -> None:
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    script = f"""
        import sys
        from pathlib import Path
        from jobs.store.local import LocalBackend
        backend = LocalBackend(Path({str(tmp_path)!r}) / "harbor")
        backend.write("artifacts/{DIGEST}.1-00.bin", Path({str(fifo)!r}))
    """
    store = Store.open(str(tmp_path), "harbor")
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[3]) as writer, fifo.open("wb") as half:
        half.write(b"half")
        half.flush()
        writer.kill()
        writer.wait()
    assert store.check().commits == {}
    assert store.sweep(store.check()) == 1

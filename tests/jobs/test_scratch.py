"""Scratch folders go with their processes: the real ones, really killed."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from jobs.scratch import MARK, PREFIX, Scratch, private_folder, sweep

OWNER = """
import subprocess, sys
from jobs.scratch import Scratch
with Scratch() as folder:
    (folder / "segment.mov").write_bytes(b"half")
    child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(folder, child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's temporary folder, for this process and those it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


Owner = tuple[subprocess.Popen[str], Path]


@pytest.fixture
def owner() -> Iterator[Callable[[], Owner]]:
    """`owner()` is another process and the scratch folder that it holds. It has a child, as a worker has its
    encoder, that outlives it."""
    started: list[subprocess.Popen[str]] = []
    children: list[int] = []

    def start() -> Owner:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        folder, child = process.stdout.readline().split()
        children.append(int(child))
        return process, Path(folder)

    yield start
    for process, child in zip(started, children, strict=True):
        process.kill()
        process.communicate()
        os.kill(child, signal.SIGKILL)


@pytest.mark.usefixtures("temporary")
def test_what_is_temporary_is_private_whatever_the_umask() -> None:
    before = os.umask(0o002)
    try:
        with Scratch() as folder:
            modes = [place.stat().st_mode & 0o777 for place in (folder, private_folder())]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o700]


def test_it_comes_with_its_first_use_and_goes(temporary: Path) -> None:
    held = Scratch()
    assert list(temporary.iterdir()) == []
    folder = held.folder()
    assert folder == held.folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "sub").mkdir()
    held.clear()
    held.clear()
    assert list(temporary.iterdir()) == []
    with held as again:
        assert again.is_dir()
    assert list(temporary.iterdir()) == []


def test_an_exception_does_not_leave_it_behind(temporary: Path) -> None:
    with pytest.raises(ValueError, match="no"), Scratch():
        raise ValueError("no")
    assert list(temporary.iterdir()) == []


def test_only_that_of_a_dead_process_is_swept(owner: Callable[[], Owner]) -> None:
    (dead, left), (_, living) = owner(), owner()
    with Scratch() as mine:
        assert sweep() == 0
        dead.kill()
        dead.wait()
        assert (left / "segment.mov").exists()
        assert sweep() == 1
        assert not left.exists()
        assert (living / "segment.mov").exists()
        assert mine.is_dir()
    assert sweep() == 0


def test_what_is_being_made_or_is_none_of_ours_is_left_alone(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / f"{PREFIX}older").mkdir()
    (temporary / f"{PREFIX}0-abc.lock").touch()
    (temporary / "other").mkdir()
    (temporary / "other" / MARK).touch()
    before = sorted(temporary.rglob("*"))
    lock = fcntl.flock
    swept: list[int] = []

    def interrupted(mark: BinaryIO, how: int) -> None:
        if not swept:
            swept.append(-1)
            swept.append(sweep())
        lock(mark, how)

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with Scratch() as folder:
        assert swept == [-1, 0]
        assert sweep() == 0
        assert folder.is_dir()
    assert sorted(temporary.rglob("*")) == before


def test_without_locks_nothing_is_swept(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_mark: object, _how: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with Scratch() as folder:
        assert not (folder / MARK).exists()
        assert sweep() == 0
    assert list(temporary.iterdir()) == []


def test_links_in_the_temporary_folder_are_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the folder nor its mark may lead elsewhere."""
    temporary, mine = tmp_path / "tmp", tmp_path / "mine"
    temporary.mkdir()
    mine.mkdir()
    (mine / ".held").touch()
    (mine / "work").write_text("alive")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (temporary / "ltx-farm-linked").symlink_to(mine)
    (temporary / "ltx-farm-marked").mkdir()
    (temporary / "ltx-farm-marked" / ".held").symlink_to(mine / ".held")
    assert sweep() == 0
    assert (mine / "work").read_text() == "alive"
    assert (temporary / "ltx-farm-marked").is_dir()

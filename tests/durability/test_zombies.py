"""A worker that was given up and finishes late changes nothing: real processes, stopped and continued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.store.store import Store

DIGEST = "ab" * 32
ROOT = Path(__file__).parents[2]

BEFORE_THE_ARTIFACT = "os.kill(os.getpid(), signal.SIGSTOP); return real(self, key, data)"
AFTER_THE_ARTIFACT = "entry = real(self, key, data); os.kill(os.getpid(), signal.SIGSTOP); return entry"

WORKER = """
    import os, signal, sys
    from jobs.store.store import Store

    store = Store.open(sys.argv[1], "harbor")
    kind = type(store.backend)
    real = kind.write

    def stopping(self, key, data):
        {stop}

    kind.write = stopping
    commit = store.put({digest!r}, 1, "bin", b"from the zombie", {{"worker": "zombie"}})
    print(commit.provenance["worker"], flush=True)
"""


@contextmanager
def stopped_worker(runs: object, stop: str) -> Iterator[subprocess.Popen[str]]:
    """A worker process that stopped itself at the given point of its commit."""
    script = textwrap.dedent(WORKER.format(stop=stop, digest=DIGEST))
    command = [sys.executable, "-c", script, str(runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as worker:
        try:
            await_stop(worker.pid)
            yield worker
        finally:
            worker.kill()


def await_stop(pid: int) -> None:
    """Wait until the process is stopped by a signal."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


@pytest.mark.parametrize("stop", [BEFORE_THE_ARTIFACT, AFTER_THE_ARTIFACT], ids=["before", "after"])
def test_a_zombie_gets_the_winners_commit(tmp_path: Path, stop: str) -> None:
    store = Store.open(str(tmp_path), "harbor")
    with stopped_worker(tmp_path, stop) as zombie:
        winner = store.put(DIGEST, 2, "bin", b"from the replacement", {"worker": "replacement"})
        zombie.send_signal(signal.SIGCONT)
        assert zombie.stdout is not None
        assert zombie.stdout.readline() == "replacement\n"
        assert zombie.wait(30) == 0
    assert store.commits() == {DIGEST: winner}
    assert store.read(winner) == b"from the replacement"
    assert len(list((tmp_path / "harbor" / "artifacts").iterdir())) == 1


def test_a_zombie_on_an_object_store_gets_the_winners_commit(s3_url: str) -> None:
    runs = f"{s3_url}/zombies"
    store = Store.open(runs, "harbor")
    with stopped_worker(runs, AFTER_THE_ARTIFACT) as zombie:
        winner = store.put(DIGEST, 2, "bin", b"from the replacement", {"worker": "replacement"})
        zombie.send_signal(signal.SIGCONT)
        assert zombie.wait(30) == 0
    assert store.commits() == {DIGEST: winner}
    assert store.read(winner) == b"from the replacement"
    assert len(store.backend.entries("artifacts")) == 1


def test_a_zombie_killed_before_its_record_leaves_only_an_unused_file(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "harbor")
    with stopped_worker(tmp_path, AFTER_THE_ARTIFACT) as zombie:
        zombie.kill()
    assert store.check().commits == {}
    winner = store.put(DIGEST, 2, "bin", b"from the replacement", {"worker": "replacement"})
    assert store.sweep(store.check()) == 1
    assert store.read(winner) == b"from the replacement"


def test_a_zombie_of_a_voided_task_finds_its_place_taken(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), "harbor")
    first = store.put(DIGEST, 1, "bin", b"first", {"worker": "w1"})
    with stopped_worker(tmp_path, AFTER_THE_ARTIFACT) as zombie:
        store.void([DIGEST])
        second = store.put(DIGEST, 2, "bin", b"second", {"worker": "w2"})
        zombie.send_signal(signal.SIGCONT)
        assert zombie.wait(30) == 0
    assert second.file != first.file
    assert store.read(store.commits()[DIGEST]) == b"second"


def test_a_zombie_whose_artifact_was_swept_gives_way(tmp_path: Path) -> None:
    """It was taken for dead with its artifact written; its late record names nothing that is there."""
    store = Store.open(str(tmp_path), "harbor")
    with stopped_worker(tmp_path, AFTER_THE_ARTIFACT) as zombie:
        assert store.sweep(store.check()) == 1
        zombie.send_signal(signal.SIGCONT)
        assert zombie.wait(30) == 0
    assert [digest for digest, _ in store.check().damage] == [DIGEST]
    winner = store.put(DIGEST, 2, "bin", b"from the replacement", {"worker": "replacement"})
    assert store.commits() == {DIGEST: winner}

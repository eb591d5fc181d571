"""What killed commits left hidden is deleted by the next render; what may still be written is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.store import remote
from jobs.store.store import LEFTOVER_S, Store

if TYPE_CHECKING:
    import pytest

    from tests.durability.conftest import Workspace

DIGEST = "ab" * 32
ROOT = Path(__file__).parents[2]
KILLED = """
    import os, signal, sys
    from jobs.store.store import Store

    store = Store.open(sys.argv[1], "harbor")
    os.link = lambda *places: os.kill(os.getpid(), signal.SIGKILL)
    store.put({digest!r}, 1, "bin", b"frames", {{}})
"""


def killed_commit(runs: Path, digest: str) -> set[Path]:
    """Hidden files that a commit leaves which is killed in the moment before its record appears."""
    before = set(runs.rglob(".*"))
    script = textwrap.dedent(KILLED.format(digest=digest))
    assert (
        subprocess.run([sys.executable, "-c", script, str(runs)], cwd=ROOT, check=False).returncode
        == -signal.SIGKILL
    )
    return {path for path in set(runs.rglob(".*")) - before if path.name != ".reserve"}


def age(path: Path, by_s: float) -> None:
    stat = path.stat()
    os.utime(path, (stat.st_atime - by_s, stat.st_mtime - by_s))


def test_a_render_deletes_the_hidden_files_of_killed_commits_once_they_are_old(workspace: Workspace) -> None:
    workspace.render()
    (old,) = killed_commit(workspace.runs, DIGEST)
    (young,) = killed_commit(workspace.runs, "cd" * 32)
    notes = workspace.job_dir / ".notes"
    notes.write_text("mine")
    for path in (old, notes):
        age(path, LEFTOVER_S + 60)
    workspace.render()
    assert not old.exists()
    assert young.exists()
    assert notes.exists()


def test_a_commit_whose_hidden_file_was_deleted_fails_and_leaves_nothing(tmp_path: Path) -> None:
    """A worker that was stopped for longer than files may lie hidden."""
    store = Store.open(str(tmp_path), "harbor")
    script = textwrap.dedent(
        KILLED.format(digest=DIGEST).replace("signal.SIGKILL)", "signal.SIGSTOP) or real(*places)")
    ).replace("os.link = ", "real = os.link\nos.link = ")
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE)
    os.waitpid(worker.pid, os.WUNTRACED)
    (hidden,) = (tmp_path / "harbor" / "commits").iterdir()
    age(hidden, LEFTOVER_S + 60)
    (tmp_path / "harbor" / "state.json").write_text("{}")
    assert store.sweep(store.check()) == 2
    worker.send_signal(signal.SIGCONT)
    _, said = worker.communicate(timeout=30)
    assert worker.returncode == 1
    assert b"StorageProblem" in said
    assert list((tmp_path / "harbor" / "commits").iterdir()) == []
    assert list((tmp_path / "harbor" / "artifacts").iterdir()) == []


def test_probes_that_a_killed_driver_left_in_a_bucket_are_deleted(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(f"{s3_url}/leftovers", "harbor")
    for name in (f".probe-{'a' * 16}", f".farm-probe-{'b' * 32}", ".notes", "state.json"):
        store.backend.replace(name, b"x")
    assert store.backend.leftovers(LEFTOVER_S) == []
    times = {"state.json": datetime.now(UTC) + timedelta(seconds=LEFTOVER_S + 60)}
    real = remote._written_s
    monkeypatch.setattr(
        remote,
        "_written_s",
        lambda info: times[k].timestamp() if (k := info["name"].rsplit("/", 1)[1]) in times else real(info),
    )
    assert store.sweep(store.check()) == 2
    assert store.backend.stat(".notes") is not None

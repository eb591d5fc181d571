"""A store that takes connections and never answers is named within ten seconds, and abandoned in the end."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from jobs.errors import StorageProblem
from jobs.store import patience, remote
from jobs.store.local import LocalBackend
from jobs.store.opening import open_backend
from jobs.store.store import Store
from tests.faulty_s3 import Silence, faulty_s3
from tests.ray.kit.commands import environment, farm_command
from tests.ray.kit.processes import until

DIGEST = "ab" * 32
SAID_S = 10.0


@pytest.fixture
def silence() -> Silence:
    return Silence(limit_s=60.0)


def test_a_command_says_soon_that_the_store_does_not_answer(silence: Silence) -> None:
    with faulty_s3(silence) as runs:
        silence.on = True
        command = farm_command("list", "--runs", runs)
        process = subprocess.Popen(
            command, env={**os.environ, **environment()}, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            # The interpreter's start does not count.
            while silence.asked == 0:
                time.sleep(0.02)
            began_s = time.monotonic()
            line = process.stderr.readline()
            assert time.monotonic() - began_s < SAID_S
        finally:
            process.kill()
            process.wait()
            process.stderr.close()
            silence.on = False
    assert f"{runs}/listing has not answered for 5 s; still trying" in line


def test_calls_to_a_silent_store_are_abandoned_and_each_wait_is_said(
    silence: Silence, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "READ_TIMEOUT_S", 1)
    monkeypatch.setattr(remote, "ANSWER_S", 3.0)
    monkeypatch.setattr(remote, "SILENT_S", 2.0)
    monkeypatch.setattr(patience, "FIRST_S", 0.5)
    with faulty_s3(silence, AWS_MAX_ATTEMPTS="2") as runs:
        store = Store.open(runs, "harbor")
        silence.on = True
        began_s = time.monotonic()
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(StorageProblem, match=r"the store does not answer.*resume the job"),
        ):
            store.put(DIGEST, 1, "bin", b"frames", {})
        assert time.monotonic() - began_s < 20
        silence.on = False
        told = [record.message for record in caplog.records]
        assert any("has not answered for" in message for message in told)
        assert "over after" in told[-1]
        assert store.commits() == {}
        assert store.read(store.put(DIGEST, 2, "bin", b"frames", {})) == b"frames"


def test_a_hung_mount_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a network mount hangs: a read does not return before its server is back."""
    monkeypatch.setattr(patience, "FIRST_S", 1.0)
    back = threading.Event()
    monkeypatch.setattr(LocalBackend, "read", lambda *_: b"spec" if back.wait(30) else b"")
    reader = threading.Thread(target=lambda: open_backend(str(tmp_path), "harbor").read("spec.yaml"))
    with caplog.at_level(logging.WARNING):
        reader.start()
        until(lambda: "still trying" in caplog.text, 20, "the wait is told")
        back.set()
        reader.join()
    assert f"{tmp_path}/harbor has not answered for 1 s; still trying" in caplog.text

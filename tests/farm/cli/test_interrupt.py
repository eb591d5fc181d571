"""Ctrl-C or SIGTERM ends a render in this process at once, though its step goes on; the job can continue."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

SPEC = {
    "version": 1,
    "name": "slow",
    "engine": {"name": "fake", "fake": {"sample_s": 40.0}},
    "defaults": {"width": 64, "height": 64, "steps": 1},
    "videos": [{"name": "film", "chunks": [{"generate": {"prompt": "a ball", "num_frames": 9}}]}],
}

HEARS = """
import os, signal, threading, time
from farm.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Whoever runs the tests may ignore the signal, which children inherit."""

ELSEWHERE = """
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
"""
"""The system interrupts another thread. To the main thread it is as if the signal had come just before its
wait began, when there is nothing to interrupt yet."""

SWALLOWED = """
from farm.cli.display import PlainDisplay

class Last:
    def __del__(self):
        os.write(1, b"deleted")
        time.sleep(20)

show = PlainDisplay.show

def then_delete(display, event):
    show(display, event)
    if "/sample" in getattr(event, "task", ""):
        Last()

PlainDisplay.show = then_delete
"""
"""The signal comes in a finalizer, whose exceptions Python prints and drops."""


@contextmanager
def rendering(folder: Path, script: str = "") -> Iterator[subprocess.Popen[str]]:
    (folder / "slow.yaml").write_text(yaml.safe_dump(SPEC))
    words = [
        sys.executable,
        "-c",
        f"{HEARS}{script}main()",
        "render",
        "slow.yaml",
        "--serial",
        "--runs",
        "runs",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_sampling(process: subprocess.Popen[str], folder: Path) -> None:
    until = time.monotonic() + 60
    while not any("/sample" in file.read_text() for file in folder.glob("runs/slow/events/*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


def assert_stops(process: subprocess.Popen[str], number: signal.Signals, folder: Path) -> str:
    process.send_signal(number)
    begun = time.monotonic()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 4
    assert time.monotonic() - begun < 10
    assert "the same command continues" in said
    state = json.loads((folder / "runs" / "slow" / "state.json").read_text())
    assert state["tasks"]["committed"] == 1
    assert state["outcome"] == "interrupted"
    return said


@pytest.mark.parametrize("script", ["", ELSEWHERE], ids=["in the wait", "before it"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_wait_for_the_step(number: signal.Signals, script: str, tmp_path: Path) -> None:
    with rendering(tmp_path, script) as process:
        wait_for_sampling(process, tmp_path)
        assert_stops(process, number, tmp_path)


def test_a_signal_in_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    with rendering(tmp_path, SWALLOWED) as process:
        assert process.stdout is not None
        assert process.stdout.read(len("deleted")) == "deleted"
        said = assert_stops(process, signal.SIGINT, tmp_path)
    assert "Exception ignored in" in said

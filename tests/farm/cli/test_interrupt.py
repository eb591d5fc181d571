"""Ctrl-C or SIGTERM ends a render in this process at once, though its step goes on; the job can continue."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
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
import signal
from farm.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""Whoever runs the tests may ignore the signal, which children inherit."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_not_wait_for_the_step(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(SPEC))
    words = [sys.executable, "-c", HEARS, "render", "slow.yaml", "--serial", "--runs", "runs"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    run = tmp_path / "runs" / "slow"
    until = time.monotonic() + 60
    while not any("/sample" in file.read_text() for file in run.glob("events/*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    begun = time.monotonic()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 4
    assert time.monotonic() - begun < 10
    assert "the same command continues" in said
    state = json.loads((run / "state.json").read_text())
    assert state["tasks"]["committed"] == 1
    assert state["outcome"] == "interrupted"

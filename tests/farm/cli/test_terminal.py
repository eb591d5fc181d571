"""The live display and `status --watch`, in a real terminal driven by tmux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.farm.cli.conftest import JOB, document

ROOT = Path(__file__).parents[3]
FARM = f"{sys.executable} -m farm.cli.main"
WITHIN_S = 90.0

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
    pytest.mark.slow,
]


@dataclass
class Terminal:
    """One tmux session of 110 by 40 cells on a server of its own."""

    socket: Path

    def tmux(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def until(self, seen: Callable[[str], bool], what: str) -> str:
        deadline = time.monotonic() + WITHIN_S
        while not seen(screen := self.screen()):
            assert time.monotonic() < deadline, f"never: {what}\n{screen}"
            time.sleep(0.2)
        return screen


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shell = Terminal(tmp_path / "tmux")
    shell.tmux("new-session", "-d", "-x", "110", "-y", "40", f"env PS1='$ ' PYTHONPATH={ROOT} sh")
    yield shell
    with suppress(subprocess.CalledProcessError):
        shell.tmux("kill-server")


@pytest.fixture
def command(tmp_path: Path) -> str:
    """A render of some ten seconds."""
    fake = {"sample_s": 1.5, "decode_s": 0.4}
    data = document(tmp_path / "out", engine={"name": "fake", "fake": fake})
    (tmp_path / "film.yaml").write_text(yaml.safe_dump(data))
    return f"cd {tmp_path}; {FARM} render film.yaml --serial"


def test_live_progress(terminal: Terminal, command: str) -> None:
    terminal.type(command)
    busy = terminal.until(lambda screen: "serial  sample dawn" in screen, "a worker at work")
    assert "worker serial ready on cpu" in busy
    row = next(line for line in busy.splitlines() if line.startswith("dawn "))
    assert "sample" in row
    assert "decode" in row
    assert "segment" in row
    assert any("ETA" in line for line in busy.splitlines())
    first = terminal.until(lambda screen: "1/3" in screen, "a bar that grows")
    assert "━" in first
    done = terminal.until(lambda screen: "report " in screen, "the end")
    assert "ETA" not in done, "the bars are taken off the screen"
    lines = [line.strip() for line in done.splitlines() if line.strip()]
    assert f"job {JOB}: done" in lines
    assert [line for line in lines if line.endswith("dawn.mp4")]


@pytest.mark.usefixtures("command")
def test_status_watch(terminal: Terminal, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    driver = subprocess.Popen(
        [*FARM.split(), "render", "film.yaml", "--serial"],
        cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + WITHIN_S
        while not (tmp_path / "runs" / JOB / "digests.json").exists():
            assert time.monotonic() < deadline
            assert driver.poll() is None
            time.sleep(0.1)
        terminal.type(f"cd {tmp_path}; clear; {FARM} status {JOB} --watch")
        running = terminal.until(lambda screen: f"{JOB}: running" in screen, "it is running")
        assert "film dawn" in running
        terminal.until(lambda screen: "serial works on" in screen, "what the worker does")
        done = terminal.until(lambda screen: f"{JOB}: done" in screen, "the watch sees the end")
        assert done.count(f"{JOB}: done") == 1, "one picture, drawn in place"
        assert "3/3 segments" in done
        terminal.until(lambda screen: screen.rstrip().endswith("$"), "the prompt is back")
    finally:
        driver.kill()
        driver.wait(timeout=20)
        log.close()

"""A page that is served by a process of its own, as `farm serve` is."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
TOKEN = "a-token-that-only-tests-know"
JOB: dict[str, Any] = {
    "version": 3,
    "name": "pier",
    "engine": {"name": "fake"},
    "defaults": {"width": 64, "height": 64, "steps": 1},
    "videos": [
        {
            "name": "dawn",
            "chunks": [
                {"generate": {"prompt": "a pier at dawn", "num_frames": 33}},
                {"extend": {"prompt": "gulls", "num_new_frames": 24, "repeat": 14}},
            ],
        }
    ],
}


@dataclass
class Served:
    """Where the page is, and what it shows."""

    url: str
    home: Path
    pid: int

    @property
    def runs(self) -> str:
        return str(self.home / "runs")

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def job_url(self, job: str = "pier") -> str:
        return f"{self.url}jobs/{job}/"

    def cpu_s(self) -> float:
        """Seconds of a core that the server has used."""
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def farm(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FARM_PAGE_TOKEN": TOKEN}
    out = options.pop("stdout", subprocess.DEVNULL)
    return subprocess.Popen(
        [sys.executable, "-m", "farm", *words], env=environment, stdout=out, stderr=subprocess.DEVNULL
    )


@contextmanager
def serving(home: Path, *options: str) -> Iterator[Served]:
    """The page of `home / "runs"`; it ends when it is told to."""
    (home / "runs").mkdir(exist_ok=True)
    process = farm("serve", "--port", "0", "--runs", str(home / "runs"), *options, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield Served(process.stdout.readline().decode().strip(), home, process.pid)
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        if process.stdout is not None:
            process.stdout.close()

"""Drivers that the page starts: `farm resume` on the Ray that the operator named, and with no other option.

They outlive the page, as those outlive a terminal that were started in one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import CannotRun

if TYPE_CHECKING:
    from farm.page.config import PageConfig
    from farm.verbs.run import JobDocuments

SAID_CHARACTERS = 2000
EXPLAINED = (0, 3, 4)
"""Exit codes after which `state.json` says how the job ended."""


@dataclass(frozen=True, slots=True)
class _Started:
    process: subprocess.Popen[bytes]
    messages: Path


class Drivers:
    """Starts drivers, and has what the last one of each job said where it could not begin."""

    def __init__(self, config: PageConfig) -> None:
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="farm-page-", ignore_cleanup_errors=True)
        self._started: dict[str, _Started] = {}

    @property
    def place(self) -> str:
        """Where drivers render, in words; empty where none is started."""
        return self._config.place

    def require_place(self, run: JobDocuments) -> None:
        """Raises CannotRun where the page was started without a place to render."""
        if not self.place:
            again = run.command("resume")
            raise CannotRun(
                f"this page starts no driver: run `{again}`, or start the page with --address or --serial."
            )

    def start(self, run: JobDocuments) -> None:
        """A driver that goes on with the job. Raises CannotRun."""
        self.require_place(run)
        config, job = self._config, run.job
        place = ["--serial"] if config.serial else ["--address", config.address or ""]
        command = [sys.executable, "-m", "farm", "resume", job, "--runs", config.runs, *place]
        environment = {name: value for name, value in os.environ.items() if name != "FARM_PAGE_TOKEN"}
        messages = Path(self._folder.name) / f"{job}.log"
        with messages.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=out,
                env=environment,
                start_new_session=True,
            )
        self._started[job] = _Started(process, messages)

    def starting(self, job: str) -> bool:
        """Whether a driver that was started here still lives."""
        started = self._started.get(job)
        return started is not None and started.process.poll() is None

    def said(self, job: str) -> str:
        """What the last driver said that could not begin; empty where it could."""
        started = self._started.get(job)
        if started is None or started.process.poll() in (None, *EXPLAINED):
            return ""
        text = started.messages.read_text(errors="replace").strip()
        return text[-SAID_CHARACTERS:] or f"the driver ended with code {started.process.returncode}"

    def close(self) -> None:
        """Forgets what was said; the drivers go on."""
        self._folder.cleanup()

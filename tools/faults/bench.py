"""What the trials share: a job, its films when nothing happens, and a driver that is watched for silence."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from farm.api import render
from farm.events import JobFinished
from farm.state.job_state import DONE
from farm.verbs.verify import verify_job
from jobs.store.documents import DIGESTS
from jobs.store.store import Store
from tests.durability.conftest import JOB, film_spec
from tests.ray.kit.commands import committed, started, wait_for_commits, write_spec
from tests.ray.kit.processes import until

BOUND_S = 240.0
"""A driver that has not ended by then hangs."""

LATER = 5
"""Commits before a fault strikes, so that there is something to lose and something to reuse."""

LAST_WORDS = 300
"""Characters that are kept of what a driver said before its longest silence."""

SLOW = {"name": "fake", "fake": {"sample_s": 0.4, "decode_s": 0.2}}


@dataclass
class Bench:
    """A folder for each trial. `films` are those of the undisturbed serial render, `silence_s` is the longest
    time in which a driver of this trial wrote nothing, after `last_words`."""

    root: Path
    films: dict[str, str] = field(default_factory=dict)
    silence_s: float = 0.0
    last_words: str = ""
    number: int = 0

    @property
    def folder(self) -> Path:
        return self.root / f"trial{self.number}"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def job_dir(self) -> Path:
        return self.runs / JOB

    @property
    def store(self) -> Store:
        return Store.find(str(self.runs), JOB)

    def begin(self) -> None:
        """A fresh folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.number += 1
        self.silence_s, self.last_words = 0.0, ""
        self.folder.mkdir()

    def spec(self, **more: Any) -> dict[str, Any]:
        return film_spec(self.folder / "out", **{"engine": SLOW, **more})

    def render(self, runs: str = "", **more: Any) -> JobFinished:
        """A serial render to its end, in this process."""
        *_, last = render(self.spec(**more), runs=runs or str(self.runs), serial=True, resume=True)
        assert isinstance(last, JobFinished)
        return last

    def drive(
        self,
        harm: Callable[[subprocess.Popen[bytes]], object],
        expected: Sequence[int],
        commits: int = LATER,
        words: Sequence[object] = ("--serial",),
        runs: str = "",
        **env: str,
    ) -> str:
        """Harm a driver, or what it stands on, once so much is committed; what it said until its end."""
        spec, log = write_spec(self.folder, self.spec()), self.folder / "log"
        where = runs or str(self.runs)
        with started("render", spec, "--runs", where, *words, log=log, **env) as driver:
            if runs:
                until(lambda: "job harbor" in log.read_text(), BOUND_S, "the job is planned")
            else:
                wait_for_commits(self.runs, commits)
            harm(driver)
            code = self.watch(driver, log)
        said = log.read_text()
        assert code in expected, f"exit code {code}: {said[-600:]}"
        assert "Traceback" not in said, said[-600:]
        return said

    def watch(self, process: subprocess.Popen[bytes], log: Path) -> int:
        """The exit code; notes the longest silence on the way."""
        began_s = heard_s = time.monotonic()
        size = -1
        while process.poll() is None:
            now, grown = time.monotonic(), log.stat().st_size
            assert now - began_s < BOUND_S, f"hangs: {log.read_text()[-600:]}"
            if grown != size:
                size, heard_s = grown, now
            if now - heard_s > self.silence_s:
                self.silence_s, self.last_words = now - heard_s, log.read_text()[-LAST_WORDS:]
            time.sleep(0.1)
        return process.returncode

    def require_whole(self, runs: str = "") -> None:
        """The job goes on to the films of the undisturbed render, computes nothing twice that was committed,
        and everything verifies."""
        last = self.render(runs)
        assert last.outcome == DONE, last.state["reason"]
        assert {film["name"]: film["sha256"] for film in last.state["videos"]} == self.films
        report = verify_job(runs or str(self.runs), JOB)
        assert report.ok, report.damage
        if not runs:
            done = committed(self.runs)
            assert len(done) == len(set(done)), "a committed task was computed again"

    def artifact(self, task: str) -> Path:
        digests: Mapping[str, str] = (self.store.read_json(DIGESTS) or {})["digests"]
        commit = self.store.commit(digests[task])
        assert commit is not None
        return self.job_dir / commit.file

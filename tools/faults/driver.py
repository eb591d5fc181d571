"""Faults of the driver's process, of its clock, and of its lock."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from jobs.store.store import Store
from tests.durability.conftest import JOB
from tests.ray.kit.commands import ROOT, farm, write_spec
from tools.faults.trial import Trial

if TYPE_CHECKING:
    from tools.faults.bench import Bench

STAGES = {"encode": 1, "sample": 3, "decode": 6, "segment": 10}
"""About how much is committed when the stage is at work."""

JUMP = """
import threading, time
real = time.time
def jump():
    time.time = lambda: real() + {seconds}
threading.Timer(2.0, jump).start()
"""


def trials() -> Iterator[Trial]:
    """All of them."""
    for stage, commits in STAGES.items():
        yield Trial("driver", f"SIGKILL while the job is at {stage}", partial(killed, commits=commits))
    yield Trial("driver", "SIGTERM", partial(ended, number=signal.SIGTERM))
    yield Trial("driver", "SIGINT", partial(ended, number=signal.SIGINT))
    yield Trial("driver", "killed five times in a row", killed_again)
    yield Trial("driver", "SIGSTOP for 8 s, then SIGCONT", stopped)
    for name, seconds in (("a day ahead", 86400), ("a day back", -86400), ("an hour ahead", 3600)):
        yield Trial("clock", f"jumps {name} in mid-render", partial(clock, seconds=seconds))
    yield Trial("lock", "three drivers start at once", raced, tried=3)
    yield Trial("lock", "its file is torn", torn_lock)
    yield Trial("lock", "the run directory is copied while it renders", copied)
    yield Trial("commit", "16 workers commit one result", duplicates)


def killed(bench: Bench, commits: int) -> None:
    bench.drive(lambda driver: os.kill(driver.pid, signal.SIGKILL), (-signal.SIGKILL,), commits)
    bench.require_whole()


def ended(bench: Bench, number: int) -> None:
    bench.drive(lambda driver: os.kill(driver.pid, number), (4,))
    bench.require_whole()


def killed_again(bench: Bench) -> None:
    for commits in (2, 4, 6, 8, 10):
        killed_at = partial(bench.drive, lambda driver: driver.kill(), (-signal.SIGKILL,), commits)
        killed_at()
    bench.require_whole()


def stopped(bench: Bench) -> None:
    def pause(driver: subprocess.Popen[bytes]) -> None:
        driver.send_signal(signal.SIGSTOP)
        time.sleep(8)
        driver.send_signal(signal.SIGCONT)

    bench.drive(pause, (0,))
    bench.require_whole()


def clock(bench: Bench, seconds: int) -> None:
    (bench.folder / "sitecustomize.py").write_text(JUMP.format(seconds=seconds))
    path = os.pathsep.join([str(bench.folder), str(ROOT)])
    bench.drive(lambda _: None, (0,), PYTHONPATH=path)
    bench.require_whole()


def raced(bench: Bench) -> None:
    words = ("render", write_spec(bench.folder, bench.spec()), "--runs", bench.runs, "--serial")
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda _: farm(*words), range(3)))
    codes = sorted(each.returncode for each in done)
    assert codes in ([0, 5, 5], [0, 0, 5], [0, 0, 0]), codes
    assert all("is being rendered by" in each.stderr for each in done if each.returncode == 5)
    bench.require_whole()


def torn_lock(bench: Bench) -> None:
    bench.drive(lambda driver: driver.kill(), (-signal.SIGKILL,))
    (lock,) = (bench.job_dir / "lock").iterdir()
    lock.write_bytes(lock.read_bytes()[:-9])
    os.utime(lock, (time.time() - 3600, time.time() - 3600))
    bench.require_whole()


def copied(bench: Bench) -> None:
    copy = bench.folder / "copy"
    bench.drive(lambda _: shutil.copytree(bench.runs, copy), (0,))
    # Where the films stand, those of the original do.
    last = bench.render(str(copy), output={"dir": str(bench.folder / "films"), "preset": "ultrafast"})
    assert last.outcome == "done", last.state
    bench.require_whole()


def duplicates(bench: Bench) -> None:
    store = Store.open(str(bench.runs), JOB)
    digest = "ab" * 32
    with ThreadPoolExecutor(16) as threads:
        commits = list(threads.map(lambda n: store.put(digest, n, "bin", b"%d" % n, {}), range(16)))
    assert len({commit.file for commit in commits}) == 1
    assert len(store.backend.entries("artifacts")) == 1

"""A job that holds the whole cluster: its metrics, scraped as by Prometheus, and a job that waits for it."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.cli.main import run
from farm.verbs.status import JobStatus, job_status
from tests.ray.kit.commands import started, write_spec
from tests.ray.kit.processes import until
from tests.ray.kit.specs import document

if TYPE_CHECKING:
    from tests.ray.kit.head import Head

JOB = "metered"
OPEN = {"RAY_AUTH_MODE": "disabled"}
ALL = "mono=1@8"
NAMES = {
    "farm_tasks", "farm_task_seconds_bucket", "farm_bytes_written", "farm_workers", "farm_worker_busy",
    "farm_worker_busy_seconds", "farm_frames",
}  # fmt: skip


@dataclass(frozen=True)
class Busy:
    """The job that has every GPU, and the words that render another one on its cluster."""

    driver: subprocess.Popen[bytes]
    runs: Path
    words: tuple[object, ...]


@pytest.fixture(scope="module")
def busy(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    folder = tmp_path_factory.mktemp("busy")
    data = {**document(folder / "out", videos=1, count=60, sample_s=1.5), "name": JOB}
    words: tuple[object, ...] = ("render", write_spec(folder, data), "--runs", folder / "runs", "-t", ALL)
    words += ("--address", head.gcs_address)
    with started(*words, log=folder / "log", **OPEN) as driver:
        yield Busy(driver, folder / "runs", words)


@pytest.mark.long
def test_the_metrics(busy: Busy, head: Head) -> None:
    seen: dict[str, list[str]] = {}

    def complete() -> bool:
        assert busy.driver.poll() is None
        seen.update(scraped(head.metrics_port))
        return seen.keys() >= NAMES

    until(complete, 120, "every series is there", poll_s=0.5)
    states = {re.search(r'state="(\w+)"', line)[1] for line in seen["farm_tasks"]}  # type: ignore[index]
    assert states == {"waiting", "ready", "running", "committed", "quarantined"}
    assert any('stage="sample"' in line for line in seen["farm_task_seconds_bucket"])


def scraped(port: int) -> dict[str, list[str]]:
    """The job's lines by the name of their series, without Ray's prefix and the suffix of counters."""
    found: dict[str, list[str]] = {}
    with suppress(urllib.error.URLError, OSError):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        for line in text.splitlines():
            match = re.match(r"ray_(farm_\w+?)(?:_total)?\{", line)
            if match and f'job="{JOB}"' in line:
                found.setdefault(match[1], []).append(line)
    return found


@pytest.mark.long
def test_a_second_job_waits_and_knows_for_whom(busy: Busy, tmp_path: Path) -> None:
    other = ("--job-id", "second", "-p", f"output.dir={tmp_path}")

    def row() -> JobStatus:
        return job_status(str(busy.runs), "second")

    with started(*busy.words, *other, log=tmp_path / "log", **OPEN) as second:
        until((busy.runs / "second" / "state.json").exists, 120, "it began")
        until(lambda: bool((waits := row().waiting) and waits.holders), 90, "it knows for whom it waits")
        status = row()
        assert (status.outcome, second.poll()) == ("waiting", None)
        assert status.waiting is not None
        assert (status.waiting.wanted, status.waiting.holders) == ("8 GPUs for 1 worker", {JOB: 8.0})
        assert run(["cancel", "second", "--runs", str(busy.runs)]) == 0
        assert second.wait(timeout=60) == 4
    assert busy.driver.poll() is None

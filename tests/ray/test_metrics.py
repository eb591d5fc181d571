"""The metrics of a running job, scraped where Prometheus would."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.ray.kit.commands import started, write_spec
from tests.ray.kit.specs import document

if TYPE_CHECKING:
    from tests.ray.kit.head import Head

JOB = "metered"

NAMES = {
    "farm_tasks", "farm_task_seconds_bucket", "farm_bytes_written", "farm_workers", "farm_worker_busy",
    "farm_worker_busy_seconds", "farm_frames",
}  # fmt: skip


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


def test_the_endpoint(head: Head, tmp_path: Path) -> None:
    data = {**document(tmp_path / "out", videos=1, count=12, sample_s=1.5), "name": JOB}
    spec = write_spec(tmp_path, data)
    words = ("render", spec, "--runs", tmp_path / "runs", "--address", head.gcs_address, "--gpus", 1)
    with started(*words, log=tmp_path / "log", RAY_AUTH_MODE="disabled") as driver:
        seen: dict[str, list[str]] = {}
        deadline = time.monotonic() + 100
        while not seen.keys() >= NAMES:
            assert time.monotonic() < deadline, (seen, tmp_path / "log")
            assert driver.poll() is None, tmp_path / "log"
            time.sleep(0.5)
            seen = {**seen, **scraped(head.metrics_port)}
    states = {re.search(r'state="(\w+)"', line)[1] for line in seen["farm_tasks"]}  # type: ignore[index]
    assert states == {"waiting", "ready", "running", "committed", "quarantined"}
    assert any('stage="sample"' in line for line in seen["farm_task_seconds_bucket"])

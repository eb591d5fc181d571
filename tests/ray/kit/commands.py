"""`farm` as a user runs it: a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.ray.kit.processes import until
from tests.ray.kit.specs import records

ROOT = Path(__file__).parents[3]


def write_spec(folder: Path, data: Mapping[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(dict(data)))
    return path


def environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **changes}


def farm_command(*words: object) -> list[str]:
    return [sys.executable, "-m", "farm.cli.main", *map(str, words)]


def farm(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `farm` to its end."""
    return farm_within(180, *words, **changes)


def farm_within(timeout_s: float, *words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `farm` to its end, which comes within these seconds."""
    return subprocess.run(
        farm_command(*words),
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def started(*words: object, log: Path, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """`farm` running beside the test; killed with its process group on the way out."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            farm_command(*words),
            env=environment(**changes),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def wait_for_commits(runs: Path, count: int, within_s: float = 150) -> None:
    until(lambda: len(committed(runs)) >= count, within_s, f"{count} commits in {runs}")


def committed(runs: Path) -> list[str]:
    """Tasks in the order of their commits, over all drivers of the job."""
    with suppress(FileNotFoundError):
        return [record["task"] for record in records(runs) if record["event"] == "task_committed"]
    return []

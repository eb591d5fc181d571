"""Rows of the failure table that a process acts out: it is stopped, or its node runs out of memory.

`tests/farm/execution/test_failure_rows.py` holds the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from farm.events import WorkerGone
from farm.state.job_state import DONE
from tests.ray.kit.commands import farm, write_spec
from tests.ray.kit.head import ray_head
from tests.ray.kit.processes import alive, until
from tests.ray.kit.specs import document, records, render

TOPOLOGY = "mono=1,segment=1"
TASK = "take0/00001/decode"
BEGINNINGS = ("worker_placed", "task_started")


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., dict[str, str]]) -> dict[str, str]:
    return serial_films(videos=2, count=3)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_stopped_worker_is_replaced_at_its_deadline(
    tmp_path: Path, reference: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt runs in another process, and the stopped one is ended."""
    monkeypatch.setenv("FARM_TRACE", str(tmp_path / "trace"))
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": TASK, "attempts": [1], "do": "stop"}]}))
    data = document(tmp_path / "out", videos=2, count=3, faults=str(script))
    rendered = render(tmp_path / "runs", {**data, "run": {"deadlines": {"decode": 6.0}}}, TOPOLOGY)
    assert (rendered.outcome, rendered.films) == (DONE, reference)
    (gone,) = (event for event in rendered.of(WorkerGone) if TASK in [lost.task for lost in event.lost])
    assert "no result after 6 s" in gone.reason
    first, second = processes(tmp_path, TASK)
    assert first != second
    until(lambda: not alive({first}), 10, "the old process is gone")


def processes(folder: Path, task: str) -> list[int]:
    """The processes that began the task, in order."""
    steps = [json.loads(line) for line in (folder / "trace").read_text().splitlines()]
    return [step["pid"] for step in steps if step["task"] == task and step["event"] == "begin"]


@pytest.mark.slow
def test_a_worker_that_a_full_node_kills_climbs_the_ladder(tmp_path: Path, reference: dict[str, str]) -> None:
    """Ray ends the worker when the node has a gigabyte less than before."""
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": TASK, "attempts": [1], "do": "hoard"}]}))
    data = document(tmp_path / "out", videos=2, count=3, faults=str(script))
    memory = meminfo()
    share = 1.0 - (memory["MemAvailable"] - 2**30) / memory["MemTotal"]
    with ray_head(1, 2, RAY_memory_usage_threshold=f"{share:.4f}") as head:
        words = ("-t", TOPOLOGY, "--address", head.gcs_address)
        spec = write_spec(tmp_path, data)
        done = farm("render", spec, "--runs", tmp_path / "runs", *words, RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stderr
    log = records(tmp_path / "runs")
    failed = [(e["task"], e["kind"]) for e in log if e["event"] == "task_failed"]
    assert failed[0] == (TASK, "oom")
    assert {kind for _, kind in failed} == {"oom"}
    after = log[log.index(next(e for e in log if e["event"] == "task_failed")) :]
    again = next(e["event"] for e in after if e.get("worker") == "mono-0" and e["event"] in BEGINNINGS)
    assert again == "worker_placed", "a worker that is gone gets nothing"
    films = {e["video"]: e["sha256"] for e in log if e["event"] == "film_delivered" and not e["preview"]}
    assert films == reference


def meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines}

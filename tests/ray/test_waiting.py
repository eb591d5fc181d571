"""Two jobs and one GPU: the second one says that it waits, for how long and for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.verbs.status import JobStatus, job_status
from tests.ray.kit.commands import farm, started, write_spec
from tests.ray.kit.head import Head, ray_head
from tests.ray.kit.processes import until
from tests.ray.kit.specs import JOB, document, records


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[Head]:
    with ray_head(1, 4) as head:
        yield head


def _samples(runs: Path) -> bool:
    """Whether the first job's worker on the GPU is at work."""
    return runs.exists() and any(record["event"] == "task_started" for record in records(runs))


def test_the_second_job_waits_for_the_first(one_gpu: Head, tmp_path: Path) -> None:
    runs, env = tmp_path / "runs", {"RAY_AUTH_MODE": "disabled"}
    spec = write_spec(tmp_path, document(tmp_path / "out", sample_s=60.0))
    words = ("render", spec, "--runs", runs, "-t", "mono=1", "--address", one_gpu.gcs_address)
    other = ("--job-id", "second", "-p", f"output.dir={tmp_path / 'second'}")

    def row() -> JobStatus:
        return job_status(str(runs), "second")

    with started(*words, log=tmp_path / "first.log", **env):
        until(lambda: _samples(runs), 120, "the first job has the GPU")
        with started(*words, *other, log=tmp_path / "second.log", **env) as second:
            until((runs / "second" / "state.json").exists, 120, "the second job began")
            until(lambda: row().outcome == "waiting", 90, "it waits")
            until(lambda: bool((waits := row().waiting) and waits.holders), 90, "it knows for whom")
            told = json.loads(farm("status", "second", "--runs", runs, "-o", "json").stdout)["waiting"]
            assert (told["wanted"], told["holders"]) == ("1 GPU for 1 worker", {JOB: 1.0})
            assert f"job {JOB} holds 1 GPU" in farm("why", "second", "--runs", runs).stdout
            assert "waiting" in farm("list", "--runs", runs).stdout
            assert second.poll() is None
            assert farm("cancel", "second", "--runs", runs).returncode == 0
            assert second.wait(timeout=60) == 4
        assert [line.split()[1] for line in farm("list", "--runs", runs).stdout.splitlines()[1:]] == [
            "running", "cancelled",
        ]  # fmt: skip

"""The ways in through a job server, and the Python driver on the same cluster."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from cluster.job_server.dashboard import Dashboard
from cluster.job_server.jobs import JobServer
from farm.cli.results import result_schema
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.kit.commands import ROOT, committed, farm, wait_for_commits, write_spec
from tests.ray.kit.head import Head, tool
from tests.ray.kit.specs import JOB, document

TOPOLOGY = "mono=1,segment=1"
UPLOAD_LIMIT_BYTES = 100 * 2**20


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., dict[str, str]]) -> dict[str, str]:
    return serial_films(videos=1, count=2)


def films(runs: Path) -> dict[str, str]:
    """SHA-256 of the delivered films, from the job's state."""
    state = Store.open(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert state["outcome"] == "done"
    assert all(Path(film["path"]).exists() for film in state["videos"])
    return {film["name"]: film["sha256"] for film in state["videos"]}


def test_ray_job_submit(head: Head, tmp_path: Path, reference: dict[str, str]) -> None:
    """What `.rayignore` names stays here, or Ray would refuse the upload. The job's command has `farm` and
    the cluster's address: a film that would land in Ray's temporary copy of the project is refused, and the
    Python driver renders one."""
    project, runs = tmp_path / "project", tmp_path / "runs"
    data = {**document(tmp_path / "out", videos=1, count=2), "run": {"topology": TOPOLOGY}}
    write_spec(project, data)
    (project / "driver.py").write_text((ROOT / "examples" / "driver.py").read_text())
    (project / "old_runs").mkdir()
    with (project / "old_runs" / "artifact").open("wb") as artifact:
        artifact.truncate(UPLOAD_LIMIT_BYTES + 2**20)
    (project / ".rayignore").write_text("old_runs/\n")
    refused = f"farm render job.yaml --runs {runs} -p output.dir=out; echo refused with $?"
    rendered = f"PYTHONPATH={ROOT} python driver.py job.yaml {runs}"
    done = subprocess.run(
        [tool("ray"), "job", "submit", "--address", head.dashboard_url, "--working-dir", str(project),
         "--", "sh", "-c", f"{refused}; {rendered}"],
        env=head.env, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "temporary copy" in printed
    assert "refused with 5" in printed
    assert all(sha256 in printed for sha256 in reference.values())
    assert films(runs) == reference


@pytest.mark.long
def test_farm_submit_is_stopped_and_follows_the_same_job_to_its_end(
    head: Head, tmp_path: Path, reference: dict[str, str]
) -> None:
    runs, server = tmp_path / "runs", JobServer(head.dashboard_url)
    spec = write_spec(tmp_path, document(tmp_path / "out", videos=1, count=2, sample_s=3.0))
    words = ("submit", spec, "--address", head.dashboard_url, "--runs", runs, "-t", TOPOLOGY, "-o", "json")
    begun = time.monotonic()
    handed = farm(*words, "--no-wait", RAY_AUTH_MODE="disabled")
    assert handed.returncode == 0, handed.stderr
    assert time.monotonic() - begun < 30
    wait_for_commits(runs, 3)
    submission = json.loads(handed.stdout)["submission_id"]
    server.stop(submission)
    list(server.follow(submission))
    state = Store.open(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert (state["outcome"], server.status(submission)) == ("interrupted", "STOPPED")
    before = committed(runs)
    again = farm(*words, RAY_AUTH_MODE="disabled")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "film take0" in again.stderr
    assert films(runs) == reference
    assert len(committed(runs)) == len(set(committed(runs))) > len(before) > 0
    attempts = [json.loads(done.stdout) for done in (handed, again)]
    for attempt in attempts:
        jsonschema.validate(attempt, result_schema("submit"))
    assert [attempt["job"] for attempt in attempts] == [JOB, JOB]
    assert attempts[0]["submission_id"] != attempts[1]["submission_id"]
    assert attempts[1]["status"] == "SUCCEEDED"
    known = [_metadata(head, attempt["submission_id"]) for attempt in attempts]
    assert known == [(JOB, str(spec))] * 2


def _metadata(head: Head, submission: str) -> tuple[str, str]:
    """Job and spec, as the cluster shows them."""
    known = Dashboard(head.dashboard_url).get(f"/api/jobs/{submission}")["metadata"]
    return known["job"], known["spec"]

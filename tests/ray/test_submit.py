"""The ways in through a job server, and the Python driver on the same cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from ray.job_submission import JobSubmissionClient

from farm.cli.results import result_schema
from jobs.store.documents import STATE
from jobs.store.store import Store
from tests.ray.kit.commands import ROOT, environment, farm, write_spec
from tests.ray.kit.head import Head, tool
from tests.ray.kit.specs import JOB, Rendered, document, render_alone

TOPOLOGY = "mono=1,segment=1"
UPLOAD_LIMIT_BYTES = 100 * 2**20


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., dict[str, str]]) -> dict[str, str]:
    return serial_films(videos=2, count=2)


def films(runs: Path) -> dict[str, str]:
    """SHA-256 of the delivered films, from the job's state."""
    state = Store.open(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert state["outcome"] == "done"
    assert all(Path(film["path"]).exists() for film in state["videos"])
    return {film["name"]: film["sha256"] for film in state["videos"]}


def ray_job_submit(head: Head, working_dir: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [
        tool("ray"),
        "job",
        "submit",
        "--address",
        head.dashboard_url,
        "--working-dir",
        str(working_dir),
    ]
    return subprocess.run(
        [*command, "--", *map(str, words)],
        env=head.env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_ray_job_submit(head: Head, tmp_path: Path, reference: dict[str, str]) -> None:
    """What `.rayignore` names stays here, or Ray would refuse the upload."""
    project, runs = tmp_path / "project", tmp_path / "runs"
    write_spec(project, document(tmp_path / "out", count=2))
    (project / "old_runs").mkdir()
    with (project / "old_runs" / "artifact").open("wb") as artifact:
        artifact.truncate(UPLOAD_LIMIT_BYTES + 2**20)
    (project / ".rayignore").write_text("old_runs/\n")
    done = ray_job_submit(head, project, "farm", "render", "job.yaml", "--runs", runs, "--topology", TOPOLOGY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert films(runs) == reference


def test_film_in_the_upload_is_refused(head: Head, tmp_path: Path) -> None:
    """A relative output would land in Ray's temporary copy of the project."""
    project = tmp_path / "project"
    write_spec(project, {**document(tmp_path), "output": {"dir": "out"}})
    done = ray_job_submit(
        head, project, "farm", "render", "job.yaml", "--runs", tmp_path / "runs", "-t", TOPOLOGY
    )
    assert done.returncode != 0
    assert "temporary copy" in done.stdout + done.stderr


def test_farm_submit_follows_and_keeps_the_job_id(
    head: Head, tmp_path: Path, reference: dict[str, str]
) -> None:
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=2))
    words = ("submit", spec, "--address", head.dashboard_url, "--runs", runs, "-t", TOPOLOGY, "-o", "json")
    first = farm(*words, RAY_AUTH_MODE="disabled")
    assert first.returncode == 0, first.stdout + first.stderr
    assert films(runs) == reference
    assert "film take0" in first.stderr
    again = farm(*words, RAY_AUTH_MODE="disabled")
    attempts = [json.loads(done.stdout) for done in (first, again)]
    for attempt in attempts:
        jsonschema.validate(attempt, result_schema("submit"))
    assert [attempt["job"] for attempt in attempts] == [JOB, JOB]
    assert attempts[0]["submission_id"] != attempts[1]["submission_id"]
    assert [attempt["status"] for attempt in attempts] == ["SUCCEEDED", "SUCCEEDED"]
    jobs = JobSubmissionClient(head.dashboard_url)
    known = [jobs.get_job_info(attempt["submission_id"]).metadata for attempt in attempts]
    assert [(found["job"], found["spec"]) for found in known] == [(JOB, str(spec))] * 2


def test_exit_code_of_the_render_comes_through(head: Head, tmp_path: Path) -> None:
    """The spec is looked for on the cluster, and its absence is that render's bad usage."""
    done = farm(
        "submit",
        "/no/such/job.yaml",
        "--address",
        head.dashboard_url,
        "--runs",
        tmp_path,
        RAY_AUTH_MODE="disabled",
    )
    assert done.returncode == 2
    assert "/no/such/job.yaml" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_no_wait_and_ray_job_stop(head: Head, tmp_path: Path, reference: dict[str, str]) -> None:
    from cluster.job_server.jobs import JobServer
    from tests.ray.kit.commands import committed, wait_for_commits

    runs = tmp_path / "runs"
    data = document(tmp_path / "out", count=2, sample_s=0.5)
    spec = write_spec(tmp_path, data)
    words = ("submit", spec, "--address", head.dashboard_url, "--runs", runs, "-t", TOPOLOGY)
    begun = time.monotonic()
    handed = farm(*words, "--no-wait", "-o", "json", RAY_AUTH_MODE="disabled")
    assert handed.returncode == 0, handed.stderr
    assert time.monotonic() - begun < 30
    jsonschema.validate(json.loads(handed.stdout), result_schema("submit"))
    server, submission = JobServer(head.dashboard_url), json.loads(handed.stdout)["submission_id"]
    wait_for_commits(runs, 3)
    server.stop(submission)
    list(server.follow(submission))
    state = Store.open(str(runs), JOB).read_json(STATE)
    assert state is not None
    assert state["outcome"] == "interrupted"
    before = committed(runs)
    rest: Rendered = render_alone(runs, data)
    assert rest.films == reference
    assert len(committed(runs)) == len(set(committed(runs))) > len(before) > 0


def test_python_driver(head: Head, tmp_path: Path, reference: dict[str, str]) -> None:
    spec = write_spec(tmp_path, {**document(tmp_path / "out", count=2), "run": {"topology": TOPOLOGY}})
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "driver.py"), str(spec), str(tmp_path / "runs")],
        env=environment(RAY_ADDRESS=head.gcs_address, RAY_AUTH_MODE="disabled"),
        capture_output=True, text=True, timeout=180, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(sha256 in done.stdout for sha256 in reference.values())
    assert films(tmp_path / "runs") == reference

"""The job server of a real `ray start --head`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cluster.job_server.jobs import JobRequest, JobServer
from jobs.errors import CannotRun
from tests.light_install import answers
from tests.ray.kit.head import Head, free_port, ray_head


def test_output_is_followed_and_the_exit_code_known(head: Head, tmp_path: Path) -> None:
    server = JobServer(head.dashboard_url)
    (tmp_path / "words.txt").write_text("from the upload\n")
    request = JobRequest(
        entrypoint="cat words.txt; echo $COLOUR; sleep 1; echo last; exit 4",
        submission_id="follow-1",
        metadata={"job": "harbor"},
        working_dir=str(tmp_path),
        env={"COLOUR": "teal"},
    )
    assert server.submit(request) == "follow-1"
    lines = "".join(server.follow("follow-1")).split("\n")
    assert [line for line in lines if line in ("from the upload", "teal", "last")] == [
        "from the upload",
        "teal",
        "last",
    ]
    assert server.end("follow-1").exit_code == 4
    assert server.status("follow-1") == "FAILED"


def test_stopped_job_gets_sigterm(head: Head) -> None:
    server = JobServer(head.dashboard_url)
    server.submit(
        JobRequest("trap 'echo caught; exit 4' TERM; echo up; while :; do sleep 0.1; done", "stop-1")
    )
    output = server.follow("stop-1")
    text = next(output)
    while "up" not in text:
        text += next(output)
    server.stop("stop-1")
    text += "".join(output)
    assert "caught" in text
    assert server.status("stop-1") == "STOPPED"


def test_a_cluster_with_a_token_takes_jobs_of_those_who_have_it(tmp_path: Path) -> None:
    """From an install without Ray: a job with its folder, followed to its end; and a stranger's."""
    token = "3f" * 32
    (tmp_path / "film.yaml").write_text("name: [harbor]\n")
    with ray_head(0, 1, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token) as head:
        submit = (
            "submit",
            "film.yaml",
            "--address",
            head.dashboard_url,
            "--runs",
            str(tmp_path),
            "--job-id",
            "a",
        )
        submit += ("--working-dir", str(tmp_path))
        known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        ((code, out, err),) = answers(tmp_path, submit, **known)
        assert code == 2, err
        assert "submitted a-" in out
        assert "name: ['harbor']" in out.replace('"', "'")
        for changes in ({"RAY_AUTH_MODE": "disabled"}, {**known, "RAY_AUTH_TOKEN": "4e" * 32}):
            ((code, _, err),) = answers(tmp_path, submit, **changes)
            assert code == 5
            assert "RAY_AUTH_MODE and token" in err


def test_nobody_at_the_address() -> None:
    begun = time.monotonic()
    with pytest.raises(CannotRun, match="--address"):
        JobServer(f"http://127.0.0.1:{free_port()}")
    assert time.monotonic() - begun < 10

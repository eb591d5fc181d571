"""The job server of a real `ray start --head`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.job_server.jobs import JobRequest, JobServer
from tests.light_install import answers
from tests.ray.kit.head import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ray.kit.head import Head


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


@pytest.mark.long
def test_a_cluster_with_a_token_takes_jobs_of_those_who_have_it(guarded: Head, tmp_path: Path) -> None:
    """From an install without Ray: a job with its folder, followed to its end, whose exit code comes through;
    and a stranger's."""
    (tmp_path / "film.yaml").write_text("name: [harbor]\n")
    submit: tuple[str, ...] = (
        "submit",
        "film.yaml",
        "--address",
        guarded.dashboard_url,
        "--runs",
        str(tmp_path),
    )
    submit += ("--job-id", "a", "--working-dir", str(tmp_path))
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    ((code, out, err),) = answers(tmp_path, submit, **known)
    assert code == 2, err
    assert "submitted a-" in out
    assert "name: ['harbor']" in out.replace('"', "'")
    assert "Traceback" not in out + err
    for changes in ({"RAY_AUTH_MODE": "disabled"}, {**known, "RAY_AUTH_TOKEN": "4e" * 32}):
        ((code, _, err),) = answers(tmp_path, submit, **changes)
        assert code == 5
        assert "RAY_AUTH_MODE and token" in err

"""`farm submit`: the render runs as a Ray job on the cluster's head node.

Nothing is uploaded and nothing is checked here: the spec, its inputs, the runs directory and the output are
paths of the cluster, and the job checks them there. Each attempt gets a submission id of its own; the job id,
which names the run directory, stays, so a second attempt continues the first.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from farm.state import EXIT_CODES, INTERRUPTED
from jobs.errors import JobFailed

if TYPE_CHECKING:
    from cluster.jobs import JobEnd, JobServer

STOPPED = "STOPPED"
SUCCEEDED = "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """What to submit. `spec` and `runs` are paths of the cluster; None leaves `runs` to the head's FARM_RUNS.

    `arguments` go to `farm render` as they stand; `working_dir` is a folder to upload.
    """

    spec: str
    runs: str | None = None
    job_id: str | None = None
    address: str | None = None
    arguments: tuple[str, ...] = ()
    working_dir: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A submitted attempt."""

    submission_id: str
    job: str
    address: str
    command: str


@dataclass(frozen=True, slots=True)
class SubmitEnd:
    """How it ended: Ray's word, and the exit code that `farm render` would have given here."""

    status: str
    exit_code: int
    message: str


def submit(request: SubmitRequest) -> tuple[JobServer, Submission]:
    """Hand the render to the cluster's job server. Raises CannotRun when nobody answers."""
    from cluster.jobs import JobRequest, JobServer

    server = JobServer(request.address)
    job = request.job_id or name_in(request.spec)
    submission_id = f"{job}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    command = entrypoint(request)
    server.submit(JobRequest(command, submission_id, {"job": job, "spec": request.spec}, request.working_dir))
    return server, Submission(submission_id, job, server.address, command)


def entrypoint(request: SubmitRequest) -> str:
    """The command that the head node runs."""
    words = ["farm", "render", _on_cluster(request)]
    if request.runs:
        words += ["--runs", request.runs]
    words += request.arguments
    if request.job_id:
        words += ["--job-id", request.job_id]
    return shlex.join(words)


def follow(server: JobServer, submission: Submission) -> Iterator[str]:
    """The render's output as it comes, until it ends."""
    return server.follow(submission.submission_id)


def ended(server: JobServer, submission: Submission) -> SubmitEnd:
    """How the attempt ended; the exit code is that of `farm render`."""
    end = server.end(submission.submission_id)
    return SubmitEnd(end.status, _exit_code(end), end.message)


def _exit_code(end: JobEnd) -> int:
    if end.status == SUCCEEDED:
        return 0
    if end.status == STOPPED:
        return EXIT_CODES[INTERRUPTED]
    return end.exit_code if end.exit_code is not None and end.exit_code > 0 else JobFailed.exit_code


def _on_cluster(request: SubmitRequest) -> str:
    """The spec may stand inside an upload; else a relative path means the same place on shared storage."""
    if request.working_dir or PurePosixPath(request.spec).is_absolute():
        return request.spec
    return str(Path(request.spec).absolute())


def name_in(spec: str) -> str:
    """The job's name for people who list jobs: the spec's where it can be read here, else its file name."""
    import yaml

    try:
        document = yaml.safe_load(Path(spec).read_text())
        return str(document["name"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
        return PurePosixPath(spec).stem

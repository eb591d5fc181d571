"""`farm submit`: the render runs as a Ray job on the cluster's head node.

Nothing is uploaded: the spec, its inputs, the runs directory and the output are paths of the cluster, and the
job checks them there. Here only the job's name is read, where the spec can be; `rehearse` checks all of it.
Each attempt gets a submission id of its own; the job id, which names the run directory, stays, so a second
attempt continues the first.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from farm.specs.load import load
from farm.state.job_state import EXIT_CODES, INTERRUPTED
from jobs.errors import JobFailed, Problem, SpecError
from jobs.parsing.document import read_document
from jobs.parsing.overrides import apply_overrides
from jobs.places import shown
from jobs.planning.plan import make_plan
from jobs.rules.faults import require_hosts
from jobs.spec.base import NAME_RULE, SAFE_NAME, is_there, safe_name
from jobs.store.opening import check_job_id

if TYPE_CHECKING:
    from cluster.job_server.jobs import JobEnd, JobServer
    from farm.options import RenderOptions

STOPPED = "STOPPED"
SUCCEEDED = "SUCCEEDED"


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """What to submit. `spec` and `runs` are paths of the cluster; None leaves `runs` to the head's FARM_RUNS.

    `overrides` and `arguments` go to `farm render` as they stand; `working_dir` is a folder to upload.
    """

    spec: str
    runs: str | None = None
    job_id: str | None = None
    address: str | None = None
    overrides: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    working_dir: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """An attempt: its id with the job server, the job's id, where it goes, and what the head node runs."""

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
    """Hand the render to the cluster's job server.

    Raises CannotRun when nobody answers, SpecError and UsageError where the job's name cannot be one.
    """
    from cluster.job_server.jobs import JobRequest, JobServer

    planned = plan_submission(request)
    server = JobServer(request.address)
    facts = {"job": planned.job, "spec": request.spec}
    server.submit(JobRequest(planned.command, planned.submission_id, facts, request.working_dir))
    return server, replace(planned, address=server.address)


def plan_submission(request: SubmitRequest) -> Submission:
    """What would be handed over. Raises SpecError and UsageError where the job's name cannot be one."""
    job = check_job_id(request.job_id) if request.job_id else job_name(_here(request), request.overrides)
    submission_id = f"{job}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    return Submission(submission_id, job, request.address or "", entrypoint(request))


def rehearse(request: SubmitRequest, options: RenderOptions) -> bool:
    """Checks the spec as the render will; False where it is not on this machine. Raises InputError."""
    path = _here(request)
    if not is_there(path):
        return False
    loaded = load(path, options)
    make_plan(loaded.spec, loaded.facts)
    if options.topology:
        require_hosts(loaded.spec, options.topology)
    return True


def entrypoint(request: SubmitRequest) -> str:
    """The command that the head node runs."""
    words = ["farm", "render", _on_cluster(request)]
    if request.runs:
        words += ["--runs", request.runs]
    for override in request.overrides:
        words += ["--set", override]
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


def _here(request: SubmitRequest) -> Path:
    """Where the spec stands on this machine, if it does."""
    return Path(request.working_dir or "", request.spec)


def job_name(path: Path, overrides: Sequence[str] = ()) -> str:
    """The job's name: that of the spec where there is one at `path`, else made of the file's name.

    Raises SpecError where the spec's cannot be one.
    """
    if not is_there(path):
        return safe_name(path.stem)
    data = read_document(path).data
    name = (apply_overrides(data, overrides) if overrides else data).get("name")
    if isinstance(name, str) and SAFE_NAME.fullmatch(name):
        return name
    value = shown(name) if "name" in data else "nothing"
    raise SpecError([Problem("name", value, NAME_RULE, f"write {safe_name(str(name or 'film')[:200])!r}")])

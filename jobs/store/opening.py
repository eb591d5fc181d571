"""Which backend serves a runs URL, and whether it can be used."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import Problem, StorageProblem, StoreUnusable, UsageError
from jobs.places import did_you_mean
from jobs.storage_problems import storage_problem
from jobs.store.local import LocalBackend
from jobs.store.medium import Medium

if TYPE_CHECKING:
    from jobs.store.backend import Backend

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


def check_job_id(job_id: str) -> str:
    """A job id names a folder: letters, digits, `.`, `_`, `-`; raises UsageError."""
    if JOB_ID.match(job_id):
        return job_id
    rule = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 128"
    raise UsageError([Problem("job id", repr(job_id), rule, "choose such a name with --job-id")])


def open_backend(runs_url: str, job_id: str) -> Backend:
    """The backend of one job's directory; nothing is created."""
    check_job_id(job_id)
    return Medium(_backend(runs_url, job_id))


def _backend(runs_url: str, job_id: str) -> Backend:
    scheme, separator, rest = runs_url.partition("://")
    if not separator:
        return LocalBackend(Path(runs_url).expanduser().absolute() / job_id)
    if scheme in {"file", "local"}:
        return LocalBackend(Path(rest).absolute() / job_id)
    from jobs.store.remote import open_remote

    return open_remote(f"{runs_url.rstrip('/')}/{job_id}")


def probe(backend: Backend) -> None:
    """Write, create exclusively, and delete; raises StoreUnusable where one of them does not hold.

    Where the medium refused, the error's cause is the StorageProblem of the job's directory.
    """
    key = f".probe-{secrets.token_hex(8)}"
    try:
        first, second = (backend.create(key, secrets.token_bytes(16)) for _ in range(2))
        backend.delete(key)
    except StorageProblem as error:
        refusal = error.__cause__ if isinstance(error.__cause__, Exception) else error
        problem = storage_problem(refusal, backend.url, 0, error.free_bytes)
        raise StoreUnusable(
            f"Cannot write to the store {backend.url}: {problem.cause}. "
            "Make space, create the folder or bucket, grant access, or choose another place with --runs."
        ) from problem
    if not first or second:
        raise StoreUnusable(
            f"The store {backend.url} let one file be created twice: two workers could both commit a result. "
            "Use a local or NFS directory, or an object store that honours If-None-Match."
        )


def unknown_job(backend: Backend, job_id: str, names: Sequence[str]) -> UsageError:
    """The error for a job id without a run; `names` are the jobs that have one."""
    nothing = "no job is there: check --runs, and that its storage is mounted"
    remedy = did_you_mean(job_id, names) if names else nothing
    place = backend.url.rsplit("/", 1)[0]
    return UsageError([Problem("job", repr(job_id), f"must be a run in {place}", remedy)])

"""Submitting a command to a cluster's job server through its REST interface, and following it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.job_server.dashboard import AUTH_MODE, Dashboard
from cluster.job_server.upload import package
from jobs.errors import CannotRun

POLL_S = 1.0
QUIET = 9
"""The log comes whole each time: between two requests passes this many times what the last one took."""
LOCAL_URL = "http://127.0.0.1:8265"
RAY_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
PATIENCE_S = 120.0
"""How long a server that does not answer is asked again: a head's pod is replaced in less."""
LONGEST_PAUSE_S = 10.0
UNFINISHED = ("PENDING", "RUNNING")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A shell command for the head node. `working_dir` is a folder to upload, less than 100 MiB when packed,
    or the address of a package; None uploads nothing."""

    entrypoint: str
    submission_id: str
    metadata: dict[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a submitted job ended. `status` is Ray's word; `exit_code` the command's own, if Ray knows it."""

    status: str
    exit_code: int | None
    message: str


def dashboard_url(address: str | None) -> str:
    """The dashboard's URL: `address`, of which `host:port` will do, else what Ray's own variables name, else
    this machine's. It never looks for whichever cluster there is. Raises CannotRun for what names no
    dashboard."""
    named = [(name, os.environ[name]) for name in RAY_VARIABLES if os.environ.get(name)]
    place, url = ("--address", address) if address else named[0] if named else ("", LOCAL_URL)
    if place == "RAY_ADDRESS" and "://" not in url:
        host = url.rpartition(":")[0] or "HEAD"
        raise CannotRun(
            f"{place}={url} names a node of the cluster, and jobs are taken at its dashboard: give --address "
            f"http://{host}:8265"
        )
    url = (url if "://" in url else f"http://{url}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise CannotRun(f"{place} {url} is no dashboard: give --address http://HEAD:8265")
    return url


class JobServer:
    """The job server behind the dashboard at `address`, as `dashboard_url` takes it.

    Raises `CannotRun` when nothing answers there.
    """

    def __init__(self, address: str | None) -> None:
        self.address = dashboard_url(address)
        self._dashboard = Dashboard(self.address)
        try:
            self._dashboard.get("/api/version")["ray_version"]
        except (OSError, KeyError) as error:
            raise CannotRun(_refusal(self.address, error)) from error

    def submit(self, request: JobRequest) -> str:
        """Hand the command over; returns its submission id. Raises CannotRun, and UsageError for what cannot
        be uploaded."""
        runtime_env: dict[str, Any] = {"env_vars": request.env} if request.env else {}
        try:
            if request.working_dir:
                runtime_env["working_dir"] = self._uploaded(request.working_dir)
            answer = self._dashboard.post(
                "/api/jobs/",
                {
                    "entrypoint": request.entrypoint,
                    "submission_id": request.submission_id,
                    "metadata": request.metadata,
                    "runtime_env": runtime_env,
                },
            )
        except OSError as error:
            raise CannotRun(f"the job server at {self.address} refused the job: {_plain(error)}") from error
        return str(answer["submission_id"])

    def _uploaded(self, working_dir: str) -> str:
        """The address of the folder's package, which is handed over unless the cluster has it."""
        if "://" in working_dir:
            return working_dir
        name, data = package(Path(working_dir))
        if not self._dashboard.has(f"/api/packages/gcs/{name}"):
            self._dashboard.put(f"/api/packages/gcs/{name}", data)
        return f"gcs://{name}"

    def follow(self, submission_id: str) -> Iterator[str]:
        """The job's output as it comes, until it ends. What a server that was away has printed meanwhile is
        not lost.

        Raises CannotRun where the server stays away for `PATIENCE_S`.
        """
        seen, unfinished = 0, True
        while unfinished:
            unfinished = self.status(submission_id) in UNFINISHED
            begun = time.monotonic()
            log = str(self._ask(submission_id, "/logs")["logs"])
            if log[seen:]:
                yield log[seen:]
            seen = max(seen, len(log))
            if unfinished:
                time.sleep(min(max(POLL_S, QUIET * (time.monotonic() - begun)), LONGEST_PAUSE_S))

    def status(self, submission_id: str) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED. Raises CannotRun as `follow` does."""
        return str(self._ask(submission_id)["status"])

    def end(self, submission_id: str) -> JobEnd:
        """How the job ended. Raises CannotRun as `follow` does."""
        details = self._ask(submission_id)
        return JobEnd(details["status"], details.get("driver_exit_code"), details.get("message") or "")

    def _ask(self, submission_id: str, what: str = "") -> Mapping[str, Any]:
        """The server's answer; without one it is asked again, less and less often. Raises CannotRun."""
        until, pause_s = time.monotonic() + PATIENCE_S, POLL_S
        while True:
            try:
                return self._dashboard.get(f"/api/jobs/{submission_id}{what}")
            except OSError as error:
                if time.monotonic() + pause_s > until:
                    raise CannotRun(self._out_of_sight(submission_id, error)) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _out_of_sight(self, submission_id: str, error: Exception) -> str:
        return (
            f"the job server at {self.address} has not answered for {PATIENCE_S:g} s: {_plain(error)}. "
            f"The job may go on there; look again with `ray job logs {submission_id} --follow --address "
            f"{self.address}`, or at its run directory."
        )

    def stop(self, submission_id: str) -> None:
        """Ask the job to stop: its command gets SIGTERM. Raises CannotRun."""
        try:
            self._dashboard.post(f"/api/jobs/{submission_id}/stop", {})
        except OSError as error:
            raise CannotRun(
                f"the job server at {self.address} did not stop the job: {_plain(error)}"
            ) from error


def _plain(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _refusal(address: str, error: Exception) -> str:
    return (
        f"no Ray job server answers at {address}: {_plain(error)}. Give --address the dashboard's URL "
        f"(http://head-node:8265), and the same {AUTH_MODE} and token as the cluster."
    )

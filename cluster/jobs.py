"""Submitting a command to a cluster's job server, and following it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cluster.session import AUTH_MODE
from jobs.errors import CannotRun

POLL_S = 0.5
LOCAL_URL = "http://127.0.0.1:8265"
RAY_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
PATIENCE_S = 120.0
"""How long a server that does not answer is asked again: a head's pod is replaced in less."""
LONGEST_PAUSE_S = 10.0
SILENCE_S = 120.0
"""A connection without a word for so long is made anew: the machine at its other end may be gone."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A shell command for the head node. `working_dir` is uploaded, at most 100 MiB; None uploads nothing."""

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


def dashboard_url(address: str | None) -> str | None:
    """The dashboard's URL: `address`, of which `host:port` will do; None where Ray's own variables name the
    cluster; else this machine's. It never looks for whichever cluster there is."""
    if address:
        return address if "://" in address else f"http://{address}"
    return None if any(name in os.environ for name in RAY_VARIABLES) else LOCAL_URL


class JobServer:
    """A connection to the job server at `address`, as `dashboard_url` takes it.

    Raises `CannotRun` when nothing answers there.
    """

    def __init__(self, address: str | None) -> None:
        from ray.exceptions import RayError
        from ray.job_submission import JobSubmissionClient

        url = dashboard_url(address)
        try:
            self._client = JobSubmissionClient(url)
        except (ConnectionError, RayError, RuntimeError, ValueError) as error:
            raise CannotRun(_refusal(url, error)) from error
        self.address: str = self._client.get_address()

    def submit(self, request: JobRequest) -> str:
        """Hand the command over; returns its submission id. Raises `CannotRun`."""
        runtime_env: dict[str, Any] = {"env_vars": request.env} if request.env else {}
        if request.working_dir:
            runtime_env["working_dir"] = request.working_dir
        try:
            return self._client.submit_job(
                entrypoint=request.entrypoint,
                submission_id=request.submission_id,
                metadata=request.metadata,
                runtime_env=runtime_env,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise CannotRun(
                f"the job server at {self.address} refused the job: {_first_line(error)}"
            ) from error

    def follow(self, submission_id: str) -> Iterator[str]:
        """The job's output as it comes, until it ends. A broken connection is taken up where it stopped.

        Raises CannotRun where the server stays away for `PATIENCE_S`.
        """
        seen = 0
        while True:
            for text in self._tail(submission_id, seen):
                seen += len(text)
                yield text
            if self.status(submission_id) not in ("PENDING", "RUNNING"):
                rest = self._ask(submission_id, self._client.get_job_logs)[seen:]
                if rest:
                    yield rest
                return
            time.sleep(POLL_S)

    def _tail(self, submission_id: str, skip: int) -> Iterator[str]:
        """One connection's worth of output, without its first `skip` characters."""
        stream = self._client.tail_job_logs(submission_id)
        with asyncio.Runner() as runner:
            while (text := runner.run(_next(stream))) is not None:
                fresh, skip = text[skip:], max(0, skip - len(text))
                if fresh:
                    yield fresh

    def status(self, submission_id: str) -> str:
        """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED. Raises CannotRun as `follow` does."""
        return self._ask(submission_id, self._client.get_job_status).value

    def end(self, submission_id: str) -> JobEnd:
        """How the job ended. Raises CannotRun as `follow` does."""
        details = self._ask(submission_id, self._client.get_job_info)
        return JobEnd(details.status.value, details.driver_exit_code, details.message or "")

    def _ask(self, submission_id: str, question: Callable[[str], Answer]) -> Answer:
        """The server's answer; while there is none it is asked again, ever more seldom. Raises CannotRun."""
        until, pause_s = time.monotonic() + PATIENCE_S, POLL_S
        while True:
            try:
                return question(submission_id)
            except (OSError, RuntimeError) as error:
                if time.monotonic() + pause_s > until:
                    raise CannotRun(self._out_of_sight(submission_id, error)) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _out_of_sight(self, submission_id: str, error: Exception) -> str:
        return (
            f"the job server at {self.address} has not answered for {PATIENCE_S:g} s: {_first_line(error)}. "
            f"The job may go on there; look again with `ray job logs {submission_id} --follow --address "
            f"{self.address}`, or at its run directory."
        )

    def stop(self, submission_id: str) -> None:
        """Ask the job to stop: its command gets SIGTERM."""
        self._client.stop_job(submission_id)


async def _next(stream: AsyncIterator[str]) -> str | None:
    """What comes next; None where the stream has ended, or broke."""
    from aiohttp import ClientError

    try:
        return await asyncio.wait_for(anext(stream), SILENCE_S)
    except (StopAsyncIteration, ClientError, OSError, RuntimeError):
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _refusal(address: str | None, error: Exception) -> str:
    where = address or "the address in RAY_API_SERVER_ADDRESS or RAY_ADDRESS"
    return (
        f"no Ray job server answers at {where}: {_first_line(error)}. Give --address the dashboard's URL "
        f"(http://head-node:8265), and the same {AUTH_MODE} and token as the cluster."
    )

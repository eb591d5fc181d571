"""Following a job through a head that is away for a while; a real one is in `tests/ray/test_jobs.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import requests
import yarl

from cluster import jobs
from cluster.jobs import RAY_VARIABLES, JobRequest, JobServer, dashboard_url
from jobs.errors import CannotRun

AWAY = requests.exceptions.ConnectionError("Connection refused")
PROXY = RuntimeError("Request failed with status code 503: no upstream.")
DROPPED = aiohttp.WSServerHandshakeError(
    SimpleNamespace(real_url=yarl.URL("http://head:8265")),  # type: ignore[arg-type]
    (),
    status=502,
    message="Bad gateway",
)
LOG = "one\ntwo\nthree\n"


class Client:
    """Ray's client of a server that fails as `answers` says: a status, or what a request raises.

    Each connection gives what `connections` lists, from the log's beginning, and then breaks.
    """

    def __init__(self, connections: list[int], answers: list[str | Exception]) -> None:
        self.connections, self.answers = connections, answers

    def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        count, broken = self.connections.pop(0), bool(self.connections)

        async def stream() -> AsyncIterator[str]:
            for line in LOG.splitlines(keepends=True)[:count]:
                yield line
            if broken:
                raise DROPPED if count % 2 else RuntimeError("WebSocket connection closed unexpectedly")

        return stream()

    def get_job_status(self, job: str) -> Any:
        answer = self.answers.pop(0) if self.answers else AWAY
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(value=answer)

    def get_job_logs(self, job: str) -> str:
        return LOG

    def submit_job(self, **request: Any) -> str:
        raise AWAY


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only in sleeps; `naps` has them."""
    naps: list[float] = []
    stopped = SimpleNamespace(naps=naps, sleep=naps.append, monotonic=lambda: sum(naps))
    monkeypatch.setattr(jobs, "time", stopped)
    return stopped


def server(client: Client) -> JobServer:
    made = JobServer.__new__(JobServer)
    made._client, made.address = client, "http://head:8265"  # type: ignore[assignment]
    return made


@pytest.mark.usefixtures("clock")
def test_output_goes_on_where_it_stopped() -> None:
    """Two connections break, and the server is away in between."""
    client = Client([1, 2, 3], [AWAY, PROXY, "RUNNING", AWAY, "RUNNING", "SUCCEEDED"])
    assert "".join(server(client).follow("harbor-1")) == LOG


def test_a_server_that_stays_away_is_asked_ever_more_seldom_and_then_given_up(clock: Any) -> None:
    with pytest.raises(CannotRun) as caught:
        list(server(Client([1, 1], [])).follow("harbor-1"))
    assert "Connection refused" in str(caught.value)
    assert "ray job logs harbor-1 --follow --address http://head:8265" in str(caught.value)
    assert sum(clock.naps) <= jobs.PATIENCE_S < sum(clock.naps) + jobs.LONGEST_PAUSE_S
    assert sorted(clock.naps) == clock.naps
    assert len(clock.naps) < 20


def test_a_silent_connection_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the head's machine went away without a word."""
    monkeypatch.setattr(jobs, "SILENCE_S", 0.05)
    monkeypatch.setattr(jobs, "POLL_S", 0.01)
    client = Client([1], ["RUNNING", "SUCCEEDED"])
    first = client.tail_job_logs

    def silent(job: str) -> AsyncIterator[str]:
        async def stream() -> AsyncIterator[str]:
            yield "one\n"
            await jobs.asyncio.sleep(60)

        return first(job) if client.answers == ["SUCCEEDED"] else stream()

    monkeypatch.setattr(client, "tail_job_logs", silent)
    assert "".join(server(client).follow("harbor-1")) == LOG


def test_a_server_that_goes_before_it_has_the_job_is_told() -> None:
    with pytest.raises(CannotRun, match="Connection refused"):
        server(Client([], [])).submit(JobRequest("farm render", "harbor-1"))


@pytest.mark.parametrize(
    ("address", "variable", "url"),
    [
        ("localhost:8265", None, "http://localhost:8265"),
        ("https://head:443", None, "https://head:443"),
        (None, "head:6379", None),
        (None, None, "http://127.0.0.1:8265"),
    ],
)
def test_a_job_goes_where_it_is_sent_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variable: str | None, url: str | None
) -> None:
    for name in RAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert dashboard_url(address) == url


def test_nothing_answers_at_an_address_without_a_scheme() -> None:
    with pytest.raises(CannotRun, match=r"http://localhost:9"):
        JobServer("localhost:9")

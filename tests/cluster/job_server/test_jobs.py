"""Following a job through a dashboard that is away for a while; a real one is in `tests/ray/test_jobs.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.job_server import jobs
from cluster.job_server.dashboard import AUTH_MODE, TOKEN, TOKEN_PATH, Dashboard, DashboardError, token_header
from cluster.job_server.jobs import RAY_VARIABLES, JobRequest, JobServer, dashboard_url
from jobs.errors import CannotRun

LOG = "one\ntwo\nthree\n"
TRACEBACK = "Traceback (most recent call last):\n  File ...\nValueError: harbor-1 already exists"


@dataclass
class Head:
    """What a dashboard answers to each path: one answer after the other, of which the last stays. A number is
    a status, a pair status and text, anything else JSON. `asked` has method, path, headers and body."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        listed = self.answers.get(path, [404])
        value = listed.pop(0) if len(listed) > 1 else listed[0]
        if isinstance(value, tuple):
            return value[0], value[1].encode()
        return (value, b"") if isinstance(value, int) else (200, json.dumps(value).encode())


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    """A dashboard on this machine that knows the job `harbor-1`."""
    for name in (*RAY_VARIABLES, AUTH_MODE, TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    told = Head({"/api/version": [{"ray_version": "2.60.0"}]})

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append((self.command, self.path, dict(self.headers), body))
            status, answer = told.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            if 300 <= status < 400:
                self.send_header("Location", answer.decode())
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *words: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only in sleeps; `naps` has them."""
    naps: list[float] = []
    stopped = SimpleNamespace(naps=naps, sleep=naps.append, monotonic=lambda: sum(naps))
    monkeypatch.setattr(jobs, "time", stopped)
    return stopped


def logs(*texts: Any) -> list[Any]:
    return [{"logs": text} if isinstance(text, str) else text for text in texts]


@pytest.mark.usefixtures("clock")
def test_output_goes_on_where_it_stopped(head: Head) -> None:
    """The server is away in between, and the last lines come with the end."""
    head.answers["/api/jobs/harbor-1"] = [
        502,
        {"status": "PENDING"},
        {"status": "RUNNING"},
        503,
        {"status": "RUNNING"},
        {"status": "SUCCEEDED"},
    ]
    head.answers["/api/jobs/harbor-1/logs"] = logs("", "one\n", 500, "one\ntwo\n", LOG)
    assert list(JobServer(head.url).follow("harbor-1")) == ["one\n", "two\n", "three\n"]


def test_a_server_that_stays_away_is_asked_ever_more_seldom_and_abandoned(head: Head, clock: Any) -> None:
    head.answers["/api/jobs/harbor-1"] = [(503, "no upstream")]
    with pytest.raises(CannotRun) as caught:
        list(JobServer(head.url).follow("harbor-1"))
    assert "503 no upstream" in str(caught.value)
    assert f"ray job logs harbor-1 --follow --address {head.url}" in str(caught.value)
    assert sum(clock.naps) <= jobs.PATIENCE_S < sum(clock.naps) + jobs.LONGEST_PAUSE_S
    assert sorted(clock.naps) == clock.naps
    assert len(clock.naps) < 20


def test_a_long_log_is_asked_for_a_tenth_of_the_time(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    moments = iter([0.0, 0.5, 10.0, 14.0, 20.0, 20.0])
    clock = SimpleNamespace(sleep=naps.append, monotonic=lambda: next(moments))
    server = JobServer(head.url)
    monkeypatch.setattr(jobs, "time", clock)
    states = iter(["RUNNING", "RUNNING", "SUCCEEDED"])
    monkeypatch.setattr(
        server, "_ask", lambda _, what="": {"logs": LOG} if what else {"status": next(states)}
    )
    assert "".join(server.follow("harbor-1")) == LOG
    assert naps == [4.5, jobs.LONGEST_PAUSE_S]


def test_a_job_is_handed_over_with_the_folder_beside_it(head: Head, tmp_path: Path) -> None:
    (tmp_path / "film.yaml").write_text("name: harbor\n")
    head.answers["/api/jobs/"] = [{"submission_id": "harbor-1", "job_id": "harbor-1"}]
    server = JobServer(head.url)
    request = JobRequest("farm render film.yaml", "harbor-1", {"job": "harbor"}, str(tmp_path), {"A": "b"})
    others = head.answer
    uploaded: list[str] = []

    def answer(path: str) -> tuple[int, bytes]:
        if not path.startswith("/api/packages/gcs/"):
            return others(path)
        method = head.asked[-1][0]
        if method == "PUT":
            uploaded.append(path)
        return (200 if path in uploaded else 404), b""

    head.answer = answer  # type: ignore[method-assign]
    assert [server.submit(request) for _ in range(2)] == ["harbor-1", "harbor-1"]
    methods = [(method, path.rpartition("/")[0]) for method, path, _, _ in head.asked[1:]]
    package, handed = "/api/packages/gcs", ("POST", "/api/jobs")
    assert methods == [("GET", package), ("PUT", package), handed, ("GET", package), handed]
    told = json.loads(head.asked[-1][3])
    assert told == {
        "entrypoint": "farm render film.yaml",
        "submission_id": "harbor-1",
        "metadata": {"job": "harbor"},
        "runtime_env": {
            "env_vars": {"A": "b"},
            "working_dir": f"gcs://{uploaded[0].rpartition('/')[2]}",
        },
    }


def test_a_refusal_is_told_in_the_servers_last_line(head: Head) -> None:
    head.answers["/api/jobs/"] = [(500, TRACEBACK)]
    with pytest.raises(CannotRun, match=r"refused the job: 500 ValueError: harbor-1 already exists$"):
        JobServer(head.url).submit(JobRequest("farm render", "harbor-1"))


def test_a_server_that_goes_before_it_has_the_job_is_told(head: Head) -> None:
    server = JobServer(head.url)
    server._dashboard = Dashboard("http://127.0.0.1:9")
    with pytest.raises(CannotRun, match="Connection refused"):
        server.submit(JobRequest("farm render", "harbor-1"))


def test_a_page_that_is_no_dashboard_is_told(head: Head) -> None:
    for answer in ((200, "<html>welcome</html>"), {"version": 1}, [1], (404, "<html>no</html>")):
        head.answers["/api/version"] = [answer]
        with pytest.raises(CannotRun, match="no Ray job server answers at"):
            JobServer(head.url)


@pytest.mark.parametrize(
    ("address", "variables", "url"),
    [
        ("localhost:8265", {}, "http://localhost:8265"),
        ("https://head:443/", {}, "https://head:443"),
        ("other:8265", {"RAY_API_SERVER_ADDRESS": "http://head:8265"}, "http://other:8265"),
        (None, {"RAY_API_SERVER_ADDRESS": "head:8265", "RAY_ADDRESS": "head:6379"}, "http://head:8265"),
        (None, {"RAY_ADDRESS": "http://head:8265"}, "http://head:8265"),
        (None, {}, "http://127.0.0.1:8265"),
    ],
)
def test_a_job_goes_where_it_is_sent_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variables: dict[str, str], url: str
) -> None:
    for name in RAY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert dashboard_url(address) == url


@pytest.mark.parametrize(
    ("address", "variable", "remedy"),
    [
        (None, "head:6379", "give --address http://head:8265"),
        (None, "auto", "give --address http://HEAD:8265"),
        (None, "ray://head:10001", "give --address http://HEAD:8265"),
        ("file:///etc/passwd", "", "give --address http://HEAD:8265"),
    ],
)
def test_what_names_no_dashboard_says_what_would(
    monkeypatch: pytest.MonkeyPatch, address: str | None, variable: str, remedy: str
) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", variable)
    with pytest.raises(CannotRun, match=remedy):
        dashboard_url(address)


def test_nothing_answers_at_an_address_without_a_scheme() -> None:
    with pytest.raises(CannotRun, match=r"http://localhost:9"):
        JobServer("localhost:9")


def test_the_token_is_found_where_ray_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (AUTH_MODE, TOKEN, TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("kept\n")
    (tmp_path / "named").write_text("named\n")
    assert token_header() == {}
    monkeypatch.setenv(AUTH_MODE, "token")
    assert token_header() == {"Authorization": "Bearer kept"}
    monkeypatch.setenv(TOKEN_PATH, str(tmp_path / "named"))
    assert token_header() == {"Authorization": "Bearer named"}
    monkeypatch.setenv(TOKEN, "given")
    assert token_header() == {"Authorization": "Bearer given"}
    monkeypatch.delenv(TOKEN)
    monkeypatch.setenv(TOKEN_PATH, str(tmp_path / "nowhere"))
    with pytest.raises(CannotRun, match=r"RAY_AUTH_TOKEN_PATH: .*nowhere cannot be read"):
        token_header()


def test_the_token_goes_to_the_dashboard_and_not_where_it_redirects(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTH_MODE, "token")
    monkeypatch.setenv(TOKEN, "secret")
    head.answers["/moved"] = [(302, "/api/version")]
    assert Dashboard(head.url).get("/moved") == {"ray_version": "2.60.0"}
    assert [headers.get("Authorization") for _, _, headers, _ in head.asked] == ["Bearer secret", None]


def test_a_dashboard_that_wants_a_token_says_so(head: Head) -> None:
    head.answers["/api/version"] = [(401, "Unauthorized: Missing authentication token")]
    with pytest.raises(CannotRun, match=r"401 Unauthorized: Missing authentication token.* RAY_AUTH_MODE"):
        JobServer(head.url)
    with pytest.raises(DashboardError) as caught:
        Dashboard(head.url).has("/api/version")
    assert caught.value.status == 401

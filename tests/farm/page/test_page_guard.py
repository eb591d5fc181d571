"""Who may ask the page, and what it hands out: each refusal over a real connection, byte by byte."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.api import render
from farm.page.config import PageConfig
from jobs.errors import UsageError
from tests.farm.page.conftest import JOB, TOKEN, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB_PATH = f"/{TOKEN}/jobs/pier"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("guard")
    list(render({**JOB, "output": {"dir": str(home / "out")}}, runs=str(home / "runs"), serial=True))
    (home / "out" / "secret.mp4").write_bytes(b"somebody else's")
    with serving(home) as page:
        yield page


def ask(page: Served, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, bytes]:
    """The answer to a request whose path is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:1"])
def test_the_page_is_known_by_the_names_of_loopback(page: Served, host: str) -> None:
    assert ask(page, f"/{TOKEN}/", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/jobs/pier/", {}),
        (f"/{TOKEN}x/", {}),
        (f"/{TOKEN[:-1]}/", {}),
        (f"//{TOKEN}/", {}),
        ("/%2e%2e/", {}),
        (f"/{TOKEN}/", {"Host": "evil.example"}),
        (f"/{TOKEN}/", {"Host": "127.0.0.1.evil.example"}),
        (f"/{TOKEN}/", {"Host": "user@evil.example"}),
        (f"/{TOKEN}/", {"Host": ""}),
        (f"/{TOKEN}/", {"Origin": "http://evil.example"}),
        (f"/{TOKEN}/", {"Origin": "http://127.0.0.1:1"}),
        (f"/{TOKEN}/", {"Origin": "null"}),
        (f"{JOB_PATH}/film/dawn", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}),
        (f"{JOB_PATH}/film/dawn", {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}),
    ],
)
def test_a_stranger_is_refused(page: Served, path: str, headers: dict[str, str]) -> None:
    code, said = ask(page, path, **headers)
    assert code == 403
    assert b"pier" not in said


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 403),
        (JSON, 403),
        ({"X_Farm_Page": "1", "Origin": "http://evil.example"}, 403),
        ({"X_Farm_Page": "1", "Content_Type": "text/plain"}, 409),
    ],
)
def test_an_action_needs_its_header_and_its_form(page: Served, headers: dict[str, str], code: int) -> None:
    assert ask(page, f"{JOB_PATH}/do/delete", "POST", "{}", **headers)[0] == code
    assert (page.home / "runs" / "pier").exists()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_action_is_posted(page: Served, method: str) -> None:
    assert ask(page, f"{JOB_PATH}/do/delete", method, X_Farm_Page="1")[0] in (404, 405)
    assert (page.home / "runs" / "pier").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/jobs/..%2f..%2fetc/log",
        "/jobs/%2e%2e/log",
        "/jobs/pier/film/..%2f..%2f..%2fetc%2fpasswd",
        "/jobs/pier/film/secret",
        "/jobs/pier/film/secret.mp4",
        "/jobs/pier/film/dawn%00.mp4",
        "/jobs/pier/../pier/state.json",
        "/jobs/pier/state.json",
        "/jobs/pier/thumb/dawn/99",
        "/jobs/pier/thumb/dawn/-1",
        "/jobs/pier/seam/dawn/0/before",
        "/jobs/pier/seam/dawn/1/..",
        "/page.js/../../app.py",
        "/jobs/nobody/",
    ],
)
def test_only_what_the_jobs_records_name_is_handed_out(page: Served, path: str) -> None:
    code, said = ask(page, f"/{TOKEN}{path}")
    assert code in (400, 403, 404)
    assert b"root:" not in said
    assert b"somebody" not in said


def test_a_film_is_handed_out_in_ranges_until_it_is_somebody_elses(page: Served) -> None:
    film = page.home / "out" / "dawn.mp4"
    whole = film.read_bytes()
    assert ask(page, f"{JOB_PATH}/film/dawn") == (200, whole)
    assert ask(page, f"{JOB_PATH}/film/dawn", Range="bytes=4-7") == (206, whole[4:8])
    film.write_bytes(b"graded by hand")
    try:
        assert ask(page, f"{JOB_PATH}/film/dawn")[0] == 404
        assert ask(page, f"{JOB_PATH}/thumb/dawn/0")[0] == 404
        film.unlink()
        film.symlink_to("/etc/passwd")
        assert ask(page, f"{JOB_PATH}/film/dawn")[0] == 404
    finally:
        film.unlink()
        film.write_bytes(whole)


@pytest.mark.parametrize(
    ("action", "wish", "said"),
    [
        ("resume", {}, "this page starts no driver: run `farm resume pier"),
        ("resume", {"address": "auto"}, "reload the page"),
        ("retry", {}, "nothing chosen"),
        ("retry", {"chunks": "99"}, "Chunks: 99\n    rule:   chunks of these videos are numbered 0 to 14"),
        ("retry", {"chunks": "x"}, "Chunks: 'x'"),
        ("retry", {"chunks": "1", "prompt": "x" * 20_001}, "Another prompt: 20001 characters"),
        ("retry", {"videos": ["dusk"]}, "Film: 'dusk'"),
        ("retry", {"chunks": 7}, "reload the page"),
        ("approve", {"chunks": "0"}, "asks for no approval"),
        ("pick", {"videos": ["dawn"]}, "the film of one take"),
        ("pause", {}, "only a running job takes `pause`"),
        ("retry", [], "reload the page"),
        ("retry", "{", "reload the page"),
        ("explode", {}, "an action of the page"),
    ],
)
def test_what_cannot_be_done_is_said(page: Served, action: str, wish: object, said: str) -> None:
    headers = {"X_Farm_Page": "1", "Content_Type": "application/json"}
    code, answer = ask(
        page,
        f"{JOB_PATH}/do/{action}",
        "POST",
        wish if isinstance(wish, str) else json.dumps(wish),
        **headers,
    )
    assert (code, said in json.loads(answer)["refused"]) == (409, True), answer


def test_what_the_pages_say_to_the_browser(page: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    connection.request("GET", f"{JOB_PATH}/")
    answer = connection.getresponse()
    shown = answer.read().decode()
    connection.close()
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<script>|onclick|https?://", shown)


def test_a_token_cannot_be_short() -> None:
    with pytest.raises(UsageError, match="at least 16"):
        PageConfig("runs", "short")
    assert PageConfig("runs").token != PageConfig("runs").token


def test_only_a_job_id_names_a_folder(page: Served) -> None:
    outside = Path(page.home / "state.json")
    outside.write_text("{}")
    assert ask(page, f"/{TOKEN}/jobs/%2e%2e/")[0] in (400, 404)

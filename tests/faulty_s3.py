"""An S3-compatible server on loopback that misbehaves as it is told to."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Answer = Callable[..., Iterable[bytes]]
"""A WSGI application."""

Fault = Callable[[Answer, dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""Answers a request in place of the server, with whose application it may do so."""


@contextmanager
def faulty_s3(fault: Fault, **settings: str) -> Iterator[str]:
    """A fresh `s3://bucket/runs` on a server whose every request goes through `fault`; the environment of
    this process points there meanwhile, with `settings` beside it."""
    bucket = f"faulty-{secrets.token_hex(4)}"
    serving = pytest.importorskip("werkzeug.serving")
    moto_app = pytest.importorskip("moto.moto_server.werkzeug_app")
    s3fs = pytest.importorskip("s3fs")
    app = moto_app.DomainDispatcherApplication(moto_app.create_backend_app)
    server = serving.make_server(
        "127.0.0.1",
        0,
        lambda env, start: fault(app, env, start),
        threaded=True,
        request_handler=type("Quiet", (serving.WSGIRequestHandler,), {"log": lambda *_: None}),
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    names = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        **settings,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(bucket)
        yield f"s3://{bucket}/runs"
        s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    thread.join()


class LostAnswers:
    """Does what it is asked, and drops the answer to the first try of every exclusive create whose key
    contains `where`."""

    def __init__(self, where: str = "") -> None:
        self.where = where
        self.lost: list[str] = []

    def __call__(self, app: Answer, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        key = environ["PATH_INFO"]
        answer = b"".join(app(environ, start))
        exclusive = environ["REQUEST_METHOD"] == "PUT" and "HTTP_IF_NONE_MATCH" in environ
        if exclusive and self.where in key and key not in self.lost:
            self.lost.append(key)
            environ["werkzeug.socket"].shutdown(2)
        return [answer]


class Silence:
    """Takes every request and answers none while `on`, for at most `limit_s` each."""

    def __init__(self, limit_s: float = 300.0) -> None:
        self.on = False
        self.limit_s = limit_s
        self.asked = 0

    def __call__(self, app: Answer, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.on:
            self.asked += 1
            until = time.monotonic() + self.limit_s
            while self.on and time.monotonic() < until:
                time.sleep(0.05)
        return app(environ, start)


def ignoring_the_condition(
    app: Answer, environ: dict[str, Any], start: Callable[..., Any]
) -> Iterable[bytes]:
    """Several compatible servers ignore `If-None-Match`."""
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return app(environ, start)


def s3_environment() -> dict[str, str]:
    """What a process needs to reach the same server."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

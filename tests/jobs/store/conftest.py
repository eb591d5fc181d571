"""A store on every medium: a directory, memory, and a real S3-compatible server on loopback."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store import Store

_number = itertools.count()


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """`s3://bucket` on a server of this test session."""
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("farm-test")
    yield "s3://farm-test"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(params=["local", "memory", "s3"])
def runs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh runs directory on each medium."""
    if request.param == "local":
        return str(tmp_path / "runs")
    if request.param == "memory":
        return f"memory://runs{next(_number)}"
    return f"{request.getfixturevalue('s3_url')}/runs{next(_number)}"


@pytest.fixture
def store(runs_url: str) -> Store:
    return Store.open(runs_url, "harbor")

"""A store on every medium: a directory, memory, and a real S3-compatible server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.scratch import Scratch
from jobs.store.store import Store

_number = itertools.count()


@pytest.fixture(params=["local", "memory", "s3"])
def runs_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh runs directory on each medium."""
    if request.param == "local":
        return str(tmp_path / "runs")
    if request.param == "memory":
        return f"memory://runs{next(_number)}"
    return f"{request.getfixturevalue('s3_url')}/runs{next(_number)}"


@pytest.fixture
def copies() -> Iterator[Scratch]:
    """Where a store keeps copies of what lies elsewhere."""
    made = Scratch()
    yield made
    made.clear()


@pytest.fixture
def store(runs_url: str) -> Store:
    return Store.open(runs_url, "harbor")

"""One Ray for all tests of this folder: eight logical GPUs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.session import Session, SessionConfig, open_session
from tests.ray.head import Head, ray_head


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Session]:
    config = SessionConfig(address="local", gpus=8, cpus=8, object_store_bytes=512 * 2**20)
    with open_session(config) as session:
        yield session


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A cluster of its own, as an operator starts one, with eight logical GPUs."""
    with ray_head(gpus=8, cpus=8) as started:
        yield started

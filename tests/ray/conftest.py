"""One Ray for all tests of this folder: eight logical GPUs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.session import SessionConfig, open_session
from tests.ray.kit.head import Head, ray_head
from tests.ray.kit.nodes import Nodes, head_and_nodes

if TYPE_CHECKING:
    from cluster.base import Cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[Cluster]:
    config = SessionConfig(address="local", gpus=8, cpus=8, object_store_bytes=512 * 2**20)
    with open_session(config) as session:
        yield session


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A cluster of its own, as an operator starts one, with eight logical GPUs; metrics come every half
    second."""
    often = '--system-config={"metrics_report_interval_ms": 500}'
    with ray_head(8, 8, "127.0.0.1", often) as started:
        yield started


@pytest.fixture(scope="module")
def three() -> Iterator[Nodes]:
    """Three nodes and a head without GPUs; `nodes` has them all alive.

    One cluster a module: a node that joins after this process has connected to another Ray, as `ray_session`
    does, is not found by drivers.
    """
    with head_and_nodes(3) as running:
        yield running


@pytest.fixture
def nodes(three: Nodes) -> Nodes:
    three.refill()
    return three

"""One Ray for all tests of this folder: eight logical GPUs here. And clusters as operators have them.

Whatever a test of this folder starts for others ends with the last of them, not with the session: a cluster
takes processor time when nobody asks for anything, too.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.session import SessionConfig, open_session
from tests.ray.kit.head import TOKEN, Head, ray_head
from tests.ray.kit.nodes import Nodes, head_and_nodes

if TYPE_CHECKING:
    from cluster.base import Cluster

HERE = Path(__file__).parent
STARTED = ExitStack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.ray)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    if nextitem is None or not nextitem.path.is_relative_to(HERE):
        STARTED.close()


def pytest_sessionfinish() -> None:
    """After an interrupt, too."""
    STARTED.close()


@pytest.fixture(scope="session")
def ray_session(s3_url: str) -> Cluster:  # noqa: ARG001  its workers know the server from their environment
    config = SessionConfig(address="local", gpus=8, cpus=8, object_store_bytes=512 * 2**20)
    return STARTED.enter_context(open_session(config))


@pytest.fixture(scope="session")
def head() -> Head:
    """A cluster of its own, as an operator starts one, with eight logical GPUs; metrics come every half
    second."""
    often = '--system-config={"metrics_report_interval_ms": 500}'
    return STARTED.enter_context(ray_head(8, 8, "127.0.0.1", often))


@pytest.fixture(scope="session")
def guarded() -> Head:
    """A cluster that asks for a token."""
    return STARTED.enter_context(ray_head(1, 1, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN))


@pytest.fixture(scope="session")
def three() -> Nodes:
    """A head without GPUs, and beside it the nodes that a test asks for; `nodes` has three of them alive.

    What needs it comes before what needs `ray_session`: a node that joins after this process has connected
    to another Ray is not found by drivers.
    """
    return STARTED.enter_context(head_and_nodes())


@pytest.fixture
def nodes(three: Nodes) -> Nodes:
    three.refill()
    return three

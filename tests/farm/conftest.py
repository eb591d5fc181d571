"""Films of these tests: each segment is encoded once."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def encoded(encode_once: None) -> None:
    """For every test of this folder."""

"""Films of these tests: each segment is encoded once, and outside of `output` each film joined once."""

from __future__ import annotations

from pathlib import Path

import pytest

OUTPUT = Path(__file__).parent / "output"


@pytest.fixture(scope="session", autouse=True)
def encoded(encode_once: None) -> None:
    """For every test of this folder."""


@pytest.fixture(autouse=True)
def joined(request: pytest.FixtureRequest) -> None:
    """For every test that is not about films themselves."""
    if not request.path.is_relative_to(OUTPUT):
        request.getfixturevalue("join_once")

"""Films of these tests: each segment is encoded once, and where films themselves are not looked at, each film
joined once."""

from __future__ import annotations

from pathlib import Path

import pytest

FILMS = tuple(Path(__file__).parent / name for name in ("output", "report"))


@pytest.fixture(scope="session", autouse=True)
def encoded(encode_once: None) -> None:
    """For every test of this folder."""


@pytest.fixture(autouse=True)
def joined(request: pytest.FixtureRequest) -> None:
    """For every test that is not about films themselves."""
    if not any(request.path.is_relative_to(folder) for folder in FILMS):
        request.getfixturevalue("join_once")

"""Films of these tests: each segment is encoded once, and where films themselves are not looked at, each film
joined once."""

from __future__ import annotations

import pytest

FILMS = ("loudness", "mix", "preview", "sizes_and_colors", "sound_follows", "stitch", "stitch_sound")
"""Of `output`: what films are made of."""


@pytest.fixture(scope="session", autouse=True)
def encoded(encode_once: None) -> None:
    """For every test of this folder."""


@pytest.fixture(autouse=True)
def joined(request: pytest.FixtureRequest) -> None:
    """For every test that is not about films themselves, or about their pictures."""
    folder, name = request.path.parent.name, request.path.stem.removeprefix("test_")
    if folder != "report" and (folder, name) not in {("output", film) for film in FILMS}:
        request.getfixturevalue("join_once")

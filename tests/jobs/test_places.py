"""Values as messages show them."""

from __future__ import annotations

import pytest

from jobs.places import SHOWN_CHARS, shown


def test_of_a_long_path_the_end_is_shown() -> None:
    path = "/mnt/" + "renders/" * 20 + "harbor/first-image.png"
    told = shown(path)
    assert len(told) <= SHOWN_CHARS
    assert told.startswith('"/mnt/')
    assert told.endswith('harbor/first-image.png"')
    assert "…" in told


@pytest.mark.parametrize("text", ["a boat on a lake, " * 10, "x" * 100_000])
def test_of_a_long_text_the_beginning_is_shown(text: str) -> None:
    told = shown(text)
    assert len(told) <= SHOWN_CHARS
    assert told.startswith(f'"{text[:50]}')
    assert told.endswith("…")

from __future__ import annotations

import pytest

from jobs.errors import Problem
from jobs.wording import amount, one_line, printable


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 films"),
        (1, "1 film"),
        (2, "2 films"),
        (1.0, "1 film"),
        (0.5, "0.5 films"),
        (1234567, "1234567 films"),
    ],
)
def test_amounts(count: float, told: str) -> None:
    assert amount(count, "film") == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\x1b[31mred\x07", "a\\x1b[31mred\\x07"),
        ("\x9b2J \x85 \x7f\r", "\\x9b2J \\x85 \\x7f\\r"),
        ("gpj.\u202etxt\u2066", "gpj.\\u202etxt\\u2066"),
        ("\ud800\ufeff\U000e0041", "\\ud800\\ufeff\\U000e0041"),
        ("two\nlines\tand äöü 日本 🎬 [red]", "two\nlines\tand äöü 日本 🎬 [red]"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, told: str) -> None:
    assert printable(text) == told


def test_a_value_begins_no_line_of_its_own() -> None:
    assert one_line("a\nx: no mistakes\t") == "a\\nx: no mistakes\\t"
    assert str(Problem("a\nb", "c\nd", "e", "f")).splitlines()[0] == "a\\nb: c\\nd"

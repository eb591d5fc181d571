"""Values as messages show them."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import product

import pytest

from jobs.places import SHOWN_CHARS, did_you_mean, nearest, shown


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


def test_bounds_leave_out_no_name_that_is_near() -> None:
    """Compared letter by letter with every option, as it takes long for thousands of names."""
    options = ("width", "height", "prompt", "negative", "num_frames", "upscale")
    mistakes = ("widht", "hieght", "promt", "prompts", "number", "up_scale", "frames", "zzz", "thgieh")
    for word, cutoff in product(mistakes, (0.6, 0.75)):
        ratios = {option: SequenceMatcher(None, word, option).ratio() for option in options}
        scores = {o: ratio + 0.1 * (sorted(word) == sorted(o)) for o, ratio in ratios.items()}
        best = max(options, key=lambda option: (scores[option], option))
        assert nearest(word, options, cutoff) == (best if scores[best] >= cutoff else None)


@pytest.mark.parametrize(
    ("known", "remedy"),
    [
        (["dawn", "dusk"], "did you mean dawn?"),
        (["noon"], "write noon"),
        (["noon", "dusk"], "write noon or dusk"),
        (["1", "2", "3", "4"], "write 1, 2, 3 or another one"),
        ([], "leave it out: there is none to choose from"),
    ],
)
def test_a_name_that_is_none_of_these_has_a_remedy(known: list[str], remedy: str) -> None:
    assert did_you_mean("dawm", known) == remedy

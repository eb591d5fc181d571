"""The bars of docs/reliability.md, on every input that the tool makes; two of them by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.hostile_corpus import corpus, write
from tools.hostile_inputs import MOST_MB, MOST_S, PAGE, measure, rows

QUICK = ("billion laughs by merge keys.yaml", "a pipe.yaml")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in corpus()]
)
def test_a_hostile_input_is_answered_soon_and_in_little_memory(tmp_path: Path, name: str) -> None:
    result = measure(write(name, tmp_path))
    assert result.answered, result.said[-2000:]
    assert 0 < result.peak_mb < MOST_MB
    assert result.cpu_s < MOST_S


def test_the_page_lists_every_input_and_none_failed() -> None:
    text = PAGE.read_text()
    assert [name for name in corpus() if f"| {name} |" not in text] == []
    assert f"{len(corpus())} inputs tried, {len(corpus())} answered" in text
    assert ", 0 tracebacks" in text


def test_the_table_says_what_failed(tmp_path: Path) -> None:
    good = measure(write("a folder.yaml", tmp_path))
    assert rows({"a folder.yaml": good})[0].startswith("1 inputs tried, 1 answered")

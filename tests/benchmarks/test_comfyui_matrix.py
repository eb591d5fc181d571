"""The table of ComfyUI's versions, without a ComfyUI."""

from __future__ import annotations

import pytest

from actors.engines.comfyui.core.requirements import FEATURES
from benchmarks.comfyui_matrix import BEGIN, END, NAMES, Column, insert, table

WHOLE: dict[str, tuple[str, ...]] = dict.fromkeys(FEATURES, ())
PASSED = dict.fromkeys(NAMES, "passed")


def test_features_and_checks_have_a_row_each() -> None:
    old = Column("0.3.64", {**WHOLE, "audio": ("it has no X",)}, {**PASSED, "test_11_audio": "skipped"})
    rows = table([old, Column("newest", WHOLE, {**PASSED, "test_10_decode": "failed"})]).splitlines()
    assert len(rows) == 2 + len(FEATURES) + len(NAMES)
    assert rows[0] == "|  | 0.3.64 | newest |"
    assert "| `audio` | core cannot | yes |" in rows
    assert "| audio and audio_vae | core cannot | yes |" in rows
    assert "| decode gives IMAGE | yes | **no** |" in rows


@pytest.mark.parametrize(
    ("outcomes", "clean"),
    [(PASSED, True), ({**PASSED, "test_11_audio": "skipped"}, True), ({"test_10_decode": "passed"}, False)],
)
def test_a_column_is_clean_when_every_check_ran_or_was_skipped(outcomes: dict[str, str], clean: bool) -> None:
    assert Column("x", WHOLE, outcomes).clean is clean


def test_the_table_stands_between_its_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert insert(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"

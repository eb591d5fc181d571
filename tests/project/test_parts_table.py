"""The tables of LTX-2.5's files are those that their tool makes today."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.tasks.task import Stage
from tests.official.ltx2_parts import CONVOLUTIONS, write_parts
from tools.parts_table import FILMS, PAGE, STAGES, engine, footprint, tables


def test_the_page_has_the_tables_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables().items():
        begin = text.index(f"<!-- {name} -->\n") + len(f"<!-- {name} -->\n")
        assert text[begin : text.index("<!-- end -->", begin)] == table, "run python -m tools.parts_table"


def test_what_fits_counts_the_connectors(tmp_path: Path) -> None:
    needs = footprint(engine(write_parts(tmp_path), CONVOLUTIONS), FILMS[0], 1000.0)
    connectors_gib = needs.weights_gib[Stage.ENCODE]["text encoder"]
    rest, encode = tuple(stage for stage in STAGES if stage is not Stage.ENCODE), (Stage.ENCODE,)
    assert connectors_gib == pytest.approx(3.8, abs=0.1)
    others_gib = needs.weights_gib[Stage.ENCODE]["vae"] + needs.working_gib[Stage.ENCODE]
    assert needs.together_gib(encode) == pytest.approx(connectors_gib + others_gib)
    assert needs.at_once_gib(STAGES) - needs.at_once_gib(rest) == pytest.approx(connectors_gib)
    assert needs.together_gib(STAGES) == pytest.approx(needs.together_gib(rest)), "they leave first"

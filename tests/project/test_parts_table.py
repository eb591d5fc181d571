"""The table of LTX-2.5's files is the one that its tool makes today."""

from __future__ import annotations

from tools.parts_table import PAGE, tables


def test_the_page_has_the_tables_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in tables().items():
        begin = text.index(f"<!-- {name} -->\n") + len(f"<!-- {name} -->\n")
        assert text[begin : text.index("<!-- end -->", begin)] == table, "run python -m tools.parts_table"

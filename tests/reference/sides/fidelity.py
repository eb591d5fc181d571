"""How far the farm is from the references: what tests measured, and the page that shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "fidelity.md"

MODULES, STEPS = 1e-5, 1e-4
"""What transformer, encode and decode, and what each sampling step may differ by, relative to the reference's
largest value."""


@dataclass
class Measured:
    """Relative differences by table, row and column."""

    tables: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def note(self, table: str, row: str, column: str, *differences: float) -> None:
        """The worst of `differences`, to one digit."""
        self.tables.setdefault(table, {}).setdefault(row, {})[column] = f"{max(differences):.0e}"

    def markdown(self, table: str) -> str:
        rows = self.tables[table]
        columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
        lines = [["", *columns], ["---"] * (len(columns) + 1)]
        lines += [[row, *(cells.get(column, "") for column in columns)] for row, cells in rows.items()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def difference(got: Any, wanted: Any) -> float:
    """Largest absolute difference over the largest absolute value of `wanted`."""
    assert got.shape == wanted.shape, f"{tuple(got.shape)} is not {tuple(wanted.shape)}"
    return float((got.float() - wanted.float()).abs().max() / wanted.float().abs().max())


def _block(table: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- measured: {table} -->\n).*?(\n<!-- end -->)", re.DOTALL)


def write_page(found: Measured) -> None:
    """Every table that was measured into its place on the page."""
    text = PAGE.read_text()
    for table in found.tables:
        text, count = _block(table).subn(rf"\1{found.markdown(table)}\2", text)
        assert count == 1, f"{PAGE.name} has no place for {table}"
    PAGE.write_text(text)


def missing_rows(found: Measured) -> list[str]:
    """Rows and columns that the page does not show."""
    text = PAGE.read_text()
    lacking = []
    for table, rows in found.tables.items():
        place = _block(table).search(text)
        shown = place.group(0) if place else ""
        names = [*rows, *(column for cells in rows.values() for column in cells)]
        lacking += [f"{table}: {name}" for name in dict.fromkeys(names) if f"| {name} |" not in shown]
    return lacking

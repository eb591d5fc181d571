"""Plain aligned columns: they read in a terminal, in a log, and under `cut`."""

from __future__ import annotations

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, two spaces between columns; numbers are set to the right, text to the left."""
    table = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    right = [all(_is_number(row[at]) for row in rows) for at in range(len(head))]
    return [_line(row, widths, right) for row in table]


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        cell.rjust(width) if numeric else cell.ljust(width)
        for cell, width, numeric in zip(row, widths, right, strict=True)
    )
    return "  ".join(cells).rstrip()


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace(":", "").replace("-", "").isdigit()

"""Files and functions stay short: what grows past that is several things, and gets several names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.project.trees import ROOT, statements, tree

FOLDERS = ("farm", "jobs", "actors", "cluster", "tests", "tools", "benchmarks", "examples")
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 40
LONG_FUNCTION = "tools/train_tiny/sampler.py sample"
"""One loop over noise levels, which reads as the formula does; all of its parts have names already."""


def files() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path


def test_no_file_is_long() -> None:
    long = {
        place: lines for place, path in files() if (lines := path.read_text().count("\n")) > MOST_FILE_LINES
    }
    assert long == {}


def test_no_function_is_long() -> None:
    """From `def` to its last line, docstring and all; decorators are not counted."""
    long = {}
    for place, path in files():
        for node in statements(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{place} {node.name}"
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES and name != LONG_FUNCTION:
                    long[name] = lines
    assert long == {}

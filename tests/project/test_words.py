"""One word for one thing: names, messages and pages keep to docs/glossary.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.project.trees import ROOT, nodes

GLOSSARY = ROOT / "docs" / "glossary.md"
PRODUCT = ("jobs", "actors", "cluster", "farm")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def _table(heading: str) -> Iterator[tuple[str, ...]]:
    """The rows of the tables under a heading of the glossary."""
    section = GLOSSARY.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if line.startswith("| ") and not cells[0].startswith("---") and cells[0] != "not":
            yield cells


UNUSED = {
    word.strip(): instead for words, instead in _table("Words that are not used") for word in words.split(",")
}


@cache
def _modules() -> tuple[tuple[Path, tuple[ast.AST, ...]], ...]:
    """The nodes of each."""
    files = [path for package in PRODUCT for path in sorted((ROOT / package).rglob("*.py"))]
    return tuple((path.relative_to(ROOT), nodes(path)) for path in files)


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Name():
            yield node.id
        case ast.Attribute():
            yield node.attr
        case ast.arg():
            yield node.arg


@cache
def _unused_in(name: str) -> tuple[str, ...]:
    """Of `SomeName_of`, which is `some name of`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()
    return tuple(word for word in UNUSED if f" {word} " in f" {words} ")


def test_the_glossary_names_unused_words() -> None:
    assert {"given up", "twin", "crew"} <= UNUSED.keys()
    assert all(UNUSED.values())


@pytest.mark.parametrize("package", PRODUCT)
def test_names_avoid_unused_words(package: str) -> None:
    wrong = {
        f"{path}:{node.lineno} {name}: {', '.join(found)}"  # type: ignore[attr-defined]
        for path, inside in _modules()
        if path.parts[0] == package
        for node in inside
        for name in _names(node)
        if (found := _unused_in(name))
    }
    assert not wrong


ANY_UNUSED = re.compile(rf"\b(?:{'|'.join(UNUSED)})\b", re.IGNORECASE)


def _found(text: str) -> list[str]:
    if not ANY_UNUSED.search(text):
        return []
    return [word for word in UNUSED if re.search(rf"\b{word}\b", text, re.IGNORECASE)]


@pytest.mark.parametrize("package", PRODUCT)
def test_messages_and_docstrings_avoid_unused_words(package: str) -> None:
    wrong = {
        f"{path}:{node.lineno} {', '.join(found)}: {node.value[:60]!r}"
        for path, inside in _modules()
        if path.parts[0] == package
        for node in inside
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := _found(node.value))
    }
    assert not wrong


def test_templates_avoid_unused_words() -> None:
    """What the report and the page show. Code in them has words of its own."""
    wrong = {
        f"{path.relative_to(ROOT)}: {', '.join(found)}"
        for package in PRODUCT
        for path in sorted((ROOT / package).rglob("*.html"))
        if (found := _found(re.sub(r"\{[{%].*?[%}]\}|<[^>]*>", " ", path.read_text(), flags=re.DOTALL)))
    }
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_avoid_unused_words(page: Path) -> None:
    text = page.read_text()
    if page == GLOSSARY:
        text = text.partition("\n## Words that are not used\n")[0]
    if page.name == "CHANGELOG.md":
        text = re.sub(r"- \*\*One word for one thing\*\*.*?(?=\n- )", "", text, flags=re.DOTALL)
    wrong = [
        f"{number}: {', '.join(_found(line))}"
        for number, line in enumerate(text.splitlines(), 1)
        if _found(line)
    ]
    assert not wrong


TWO_FAMILIES = Path("actors/engines")
"""Engines and model families say the same things in the same words, each about its own."""


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path, inside in _modules():
        if not path.is_relative_to(TWO_FAMILIES):
            for node in inside:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].append(str(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}

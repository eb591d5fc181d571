"""The house keeps its order: rooms of few modules, imports that go down, one home for each name.

A room is what lies directly in one of the four top folders: a folder with all that is in it, or a single
module. One room stands above another when it imports it, at the top of a file or inside a function; imports
for type checking alone do not count. A floor is the longest chain of such imports down to a room that
imports no other, which is floor 1. `__init__` of the package itself is no room.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.project.trees import ROOT, nodes, statements, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("farm", "jobs", "actors", "cluster")
MOST_FLOORS = 9
MOST_MODULES = 15
ONE_MODULE_A_VERB = {"farm/cli", "tests/farm/cli"}
PUBLIC = {"farm/__init__.py", "farm/nodes/__init__.py"}
"""Interfaces: the Python API, and what ComfyUI reads of a node package."""
WITH_DATA = {"actors/models/__init__.py"}
"""Names the file that lies beside it."""


def name_of(path: Path) -> str:
    """`farm/cli/__init__.py` -> `farm.cli`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def at_runtime(node: ast.AST) -> Iterator[ast.AST]:
    """The statements under `node`, without what is imported for type checking alone."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_runtime(child)


def imports(path: Path) -> Iterator[str]:
    """The project's own modules that a file imports when it runs."""
    for node in at_runtime(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def rooms(package: str) -> dict[str, set[str]]:
    """By room: the rooms that it imports."""
    below: dict[str, set[str]] = defaultdict(set)
    for name, path in modules().items():
        parts = name.split(".")
        if parts[0] != package or len(parts) == 1:
            continue
        room = parts[1]
        below[room] |= {
            target.split(".")[1]
            for target in imports(path)
            if target.startswith(f"{package}.") and target.split(".")[1] != room
        }
    return below


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_among_rooms(package: str) -> None:
    try:
        TopologicalSorter(rooms(package)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def floors(package: str) -> dict[str, int]:
    below = rooms(package)
    found: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():
        found[room] = 1 + max((found[under] for under in below.get(room, ())), default=0)
    return found


def test_floors_of_farm() -> None:
    found = floors("farm")
    assert max(found.values()) <= MOST_FLOORS, sorted(found.items(), key=lambda item: -item[1])


def test_few_modules_in_any_room() -> None:
    crowded = {}
    for package in (*PACKAGES, "tests", "benchmarks", "examples"):
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            flat = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            place = folder.relative_to(ROOT).as_posix()
            if len(flat) > MOST_MODULES and place not in ONE_MODULE_A_VERB:
                crowded[place] = len(flat)
    assert crowded == {}


def test_every_folder_is_a_package_with_a_caption() -> None:
    folders = {path.parent for path in modules().values()}
    without = [
        folder.relative_to(ROOT).as_posix()
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists() or not ast.get_docstring(tree(folder / "__init__.py"))
    ]
    assert without == []


def test_a_package_holds_its_caption_and_nothing_else() -> None:
    more = [
        place
        for path in modules().values()
        if path.name == "__init__.py" and len(tree(path).body) > 1
        for place in [path.relative_to(ROOT).as_posix()]
        if place not in PUBLIC | WITH_DATA
    ]
    assert more == []


@cache
def defined(path: Path) -> set[str]:
    """Names that a file gives a meaning to; what it imports is not among them."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_names_are_imported_from_their_home() -> None:
    wrong = []
    for folder in (*PACKAGES, "tests", "tools", "benchmarks", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in statements(tree(path)):
                if not isinstance(node, ast.ImportFrom) or node.module not in modules():
                    continue
                source = modules()[node.module]
                if source.relative_to(ROOT).as_posix() in PUBLIC:
                    continue
                names = {alias.name for alias in node.names} - defined(source)
                names = {name for name in names if f"{node.module}.{name}" not in modules()}
                wrong += [
                    f"{path.relative_to(ROOT)}: {name} is not at home in {node.module}"
                    for name in sorted(names)
                ]
    assert wrong == []

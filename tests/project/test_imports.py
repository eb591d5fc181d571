"""Imports flow `jobs <- {actors, cluster} <- farm`; only cluster knows Ray; light commands stay light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.trees import ROOT, statements, tree

ALLOWED = {
    "jobs": {"jobs"},
    "actors": {"jobs", "actors"},
    "cluster": {"jobs", "cluster"},
    "farm": {"jobs", "actors", "cluster", "farm"},
}
OURS = {*ALLOWED, "tests", "tools", "benchmarks", "examples"}
HEAVY = {"torch", "ray", "diffusers", "transformers"}


def imported(path: Path) -> Iterator[str]:
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", ALLOWED)
def test_street_runs_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name in OURS - ALLOWED[package]
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("package", "forbidden"), [("jobs", {"torch", "ray"}), ("actors", {"ray"}), ("farm", {"ray"})]
)
def test_heavy_packages_stay_where_they_belong(package: str, forbidden: set[str]) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imported(path)
        if name in forbidden
    ]
    assert not wrong


COMMANDS = (["--help"], ["check", "examples/demo.yaml"], ["plan", "examples/demo.yaml"], ["schema"])
# Processor seconds: what a busy machine adds is not ours.
PROBE = """
import sys, time
started = time.process_time()
from farm.cli.main import run
code = run(sys.argv[1:])
took = time.process_time() - started
heavy = sorted({name.partition(".")[0] for name in sys.modules} & %r)
print(f"\\nPROBE {code} {took:.3f} {heavy}")
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_light_commands_import_nothing_heavy_and_answer_in_a_second(command: list[str]) -> None:
    best, kept = 9.0, {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # as everywhere, from the second call on
    for _ in range(6):
        done = subprocess.run(
            [sys.executable, "-c", PROBE % (HEAVY | {"numpy"},), *command],
            cwd=ROOT,
            env=kept,
            capture_output=True,
            text=True,
            check=True,
        )
        _, code, took, heavy = done.stdout.rsplit("\n", 2)[-2].split(" ", 3)
        assert (code, heavy) == ("0", "[]"), done.stderr
        best = min(best, float(took))
        if best < 1:
            return
    pytest.fail(f"{command} took {best} s of a processor")

"""A checkout works from a folder of any name, those of its own packages and of Python's modules included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("farm", "cluster", "wave")
TOLD = """
import sys

import pytest

NAME = {name!r}


def test_names_are_those_of_the_packages_and_of_python() -> None:
    import farm.options
    import jobs.frames

    assert "NODE_CLASS_MAPPINGS" not in vars(sys.modules.get(NAME, pytest))
    assert farm.RenderOptions is farm.options.RenderOptions
"""


@pytest.fixture
def checkout(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """What the tests below need of the repository, in a folder of the wanted name."""
    folder = tmp_path / request.param
    weights = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for package in ("actors", "cluster", "farm", "jobs"):
        shutil.copytree(ROOT / package, folder / package, ignore=weights)
    for name in ("__init__.py", "pyproject.toml", "tests/conftest.py", "tests/encoded_once.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests" / "test_names.py").write_text(TOLD.format(name=request.param))
    return folder


def python(folder: Path, *words: str) -> str:
    """What a Python answers that knows of no other checkout's folder."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("checkout", NAMES, indirect=True)
def test_pytest_takes_the_root_for_no_package(checkout: Path) -> None:
    assert "1 passed" in python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize("checkout", ["farm"], indirect=True)
def test_the_module_is_the_command_inside_and_above(checkout: Path) -> None:
    for folder in (checkout, checkout.parent):
        assert python(folder, "-m", "farm", "--version").startswith("farm ")
    inside = python(checkout.parent, "-c", "import farm; print(farm.__path__)")
    assert inside.strip() == str([str(checkout / "farm")])

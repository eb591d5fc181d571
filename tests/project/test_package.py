"""What is built to be installed: every file of the packages, nothing else, and one version."""

from __future__ import annotations

import re
import shutil
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

from jobs.version import VERSION
from tests.distributions import ROOT, built, tracked

PACKAGES = ("actors", "cluster", "farm", "jobs")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the repository's own files, with an empty one in place of each model's weights."""
    folder = tmp_path_factory.mktemp("source")
    for name in tracked():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch() if name.endswith(".safetensors") else shutil.copyfile(ROOT / name, copy)
    return built("sdist", folder, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the sdist holds, which therefore is all that it takes."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return built("wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked() if name.split("/")[0] in PACKAGES}


def test_the_sdist_has_the_licence_the_changelog_and_the_constraints(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "constraints.txt"} <= held
    assert not {name.split("/")[0] for name in held} & {"tests", "tools", "benchmarks", "docs"}


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    """The changelog's newest entry is of it, and images are tagged with it: see `tests/deploy`."""
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        assert BytesParser().parsebytes(archive.read(metadata))["Version"] == VERSION
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == VERSION
    said = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])")
    elsewhere = [
        name
        for name in tracked()
        if name.endswith((".py", ".toml", ".yaml", ".md", "Dockerfile", "Makefile"))
        and name not in ("jobs/version.py", "CHANGELOG.md")
        and not name.startswith(("tests/", "docs/", "cluster/deploy/"))
        and said.search((ROOT / name).read_text())
    ]
    assert elsewhere == []

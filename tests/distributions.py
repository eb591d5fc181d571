"""The sdist and the wheel, built as a release builds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = "import setuptools.build_meta as build, sys; build.build_{kind}(sys.argv[1])"


def tracked() -> list[str]:
    """The repository's files, those that are about to be added included."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in told if (ROOT / name).is_file()]


def built(kind: str, source: Path, target: Path) -> Path:
    """The file that the build backend makes of `source`."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind=kind), str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made

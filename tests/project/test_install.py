"""What a release gives its users: both files, installed into an environment that knows nothing else of us."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.extras import INSTALL_RENDER
from jobs.version import VERSION
from tests.distributions import ROOT, built, tracked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

MOST_LIGHT_BYTES = 150e6
DEMO = ROOT / "examples" / "demo.yaml"
SHORT = ("defaults.steps=2", "upscale.steps=2", "videos[0].chunks[1].extend.repeat=1")
HEAVY = ("torch", "ray", "diffusers", "transformers")


@dataclass(frozen=True)
class Environment:
    """A virtual environment, used from a folder of its own."""

    home: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_"))}
        path = f"{self.home / 'bin'}{os.pathsep}{kept['PATH']}"
        command = [str(self.home / "bin" / words[0]), *words[1:]]
        return subprocess.run(
            command, cwd=self.home, env={**kept, "PATH": path}, capture_output=True, text=True, check=False
        )

    def pip(self, *words: str) -> None:
        constraints = ("--constraint", str(ROOT / "constraints.txt"))
        done = self.run("pip", "--disable-pip-version-check", "install", "--quiet", *constraints, *words)
        assert done.returncode == 0, done.stderr

    @property
    def packages(self) -> Path:
        (found,) = self.home.glob("lib/python*/site-packages")
        return found

    def film(self, name: str, *words: str) -> str:
        """SHA-256 of the short demo."""
        overrides = [word for change in SHORT for word in ("-p", change)]
        out = self.home / name
        places = ("--runs", str(out / "runs"), "-p", f"output.dir={out}")
        done = self.run("farm", "render", str(DEMO), *overrides, *places, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return hashlib.sha256((out / "bounce.mp4").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return built("sdist", folder, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, folder, filter="data")
    return built("wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    return Environment(home)


def light_bytes(environment: Environment) -> int:
    """What a light install adds to an empty environment, beside the bundled model and ffmpeg's binary."""
    left_out = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    return sum(
        path.stat().st_size
        for path in environment.packages.rglob("*")
        if path.is_file()
        and not path.relative_to(environment.packages).parts[0].startswith(left_out)
        and path.parent.name != "binaries"
        and path.suffix != ".safetensors"
    )


def test_a_release_is_light_and_its_extra_renders(fresh: Environment, wheel: Path, sdist: Path) -> None:
    """One test, as each step needs the one before; it prints what it measured."""
    fresh.pip(str(wheel))
    size = light_bytes(fresh)
    print(f"light install: {size / 1e6:.1f} MB")
    assert size <= MOST_LIGHT_BYTES
    assert not [name for name in HEAVY if (fresh.packages / name).exists()]
    assert fresh.run("farm", "--version").stdout == f"farm {VERSION}\n"
    for words in (("check", str(DEMO)), ("plan", str(DEMO)), ("submit", str(DEMO), "--dry-run")):
        done = fresh.run("farm", *words)
        assert done.returncode == 0, done.stderr
    refused = fresh.run("farm", "render", str(DEMO))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (5, "", 1)
    assert INSTALL_RENDER in refused.stderr

    fresh.pip(INSTALL_RENDER.split("'")[1])
    first = fresh.film("wheel")
    fresh.pip("--no-deps", "--force-reinstall", str(sdist))
    assert fresh.film("sdist", "--serial") == first

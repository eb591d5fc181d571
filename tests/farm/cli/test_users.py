"""A runs directory that the users of a machine share: files have the rights that the umask gives, and whoever
may write there goes on with what another began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from jobs.file_digests import CACHE, LARGE_BYTES
from tests.farm.cli.conftest import JOB, Farm, document

ROOT = Path(__file__).parents[3]
GROUP, ANN, BEN = 54000, 54001, 54002
FORMS = {"deliveries": [{"container": "mp4"}, {"container": "png-sequence"}], "timeline": "otio"}


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_every_file_of_a_job_has_the_rights_that_the_umask_gives(
    farm: Farm, tmp_path: Path, mask: int
) -> None:
    spec, runs = tmp_path / "film.yaml", tmp_path / "runs"
    with wave.open(str(tmp_path / "score.wav"), "wb") as score:
        score.setparams((2, 2, 48000, 0, "NONE", ""))
        score.writeframes(bytes(LARGE_BYTES))
    film = document(tmp_path / "out", version=3)
    film["videos"][0]["sound"] = [{"file": str(tmp_path / "score.wav")}]
    film["output"] |= FORMS
    spec.write_text(yaml.safe_dump(film))
    with umask(mask):
        assert farm("render", spec, "--serial", "--runs", runs).code == 0
        assert farm("retry", JOB, "--videos", "noon", "--reseed", "--runs", runs).code == 0
        assert farm("lock", JOB, "--runs", runs).code == 0
        assert farm("report", JOB, "--runs", runs).code == 0
    made = [place for top in (runs, tmp_path / "out") for place in (top, *top.rglob("*"))]
    assert len(made) > 60
    assert runs / CACHE in made
    others = {
        str(place): oct(place.stat().st_mode & 0o777)
        for place in made
        if place.stat().st_mode & 0o777 != (0o777 if place.is_dir() else 0o666) & ~mask
    }
    assert others == {}


class Machine:
    """A folder of a group, and the commands of its users."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.spec = folder / "film.yaml"
        engine = {"name": "fake", "fake": {"sample_s": 0.5}}
        self.spec.write_text(yaml.safe_dump(document(folder / "out", engine=engine)))

    def start(self, user: int, *words: object, mask: int = 0o002) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FARM_", "RAY_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "farm", *map(str, words), "--runs", str(self.runs)],
            env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(self.folder), "TMPDIR": "/tmp"},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
            group=user,
            extra_groups=[GROUP],
            umask=mask,
        )

    def farm(self, user: int, *words: object, mask: int = 0o002) -> tuple[int, str]:
        process = self.start(user, *words, mask=mask)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def interrupt(self, user: int, mask: int) -> None:
        """A render that is ended once something is committed."""
        process = self.start(user, "render", self.spec, "--serial", mask=mask)
        until_s = time.monotonic() + 60
        while len(list(self.runs.glob("*/commits/*"))) < 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 4


@pytest.fixture
def machine() -> Iterator[Machine]:
    """In a folder that every user reaches, which pytest's own are not."""
    if os.geteuid() != 0:
        pytest.skip("changes its user, which root alone may")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2775)
        found = Machine(folder)
        try:
            starts = "does not exist" in found.farm(ANN, "list")[1]
        except PermissionError:
            starts = False
        if not starts:
            pytest.skip("other users may not read this interpreter or the farm")
        yield found


def test_another_user_goes_on_with_a_job(machine: Machine) -> None:
    machine.interrupt(ANN, 0o002)
    assert f"  rendered last by uid {ANN} on " in machine.farm(BEN, "status", JOB)[1]
    assert f"  uid {ANN}  " in machine.farm(BEN, "list")[1]
    assert f"uid {ANN}" not in machine.farm(ANN, "list")[1]
    code, said = machine.farm(BEN, "resume", JOB, "--serial")
    assert code == 0, said
    assert " already done" in said
    assert machine.farm(ANN, "retry", JOB, "--videos", "noon")[0] == 0
    code, said = machine.farm(ANN, "render", machine.spec, "--serial")
    assert code == 0, said
    for words in (["verify", JOB], ["report", JOB], ["lock", JOB], ["unlock", JOB], ["prune", "--yes"]):
        code, said = machine.farm(BEN, *words)
        assert code == 0, said
    made = {place.stat().st_uid for place in machine.folder.rglob("*")}
    assert made == {0, ANN, BEN}
    assert machine.farm(BEN, "delete", JOB, "--films", "--yes")[0] == 0
    assert not (machine.runs / JOB).exists()
    assert list((machine.folder / "out").iterdir()) == []


def test_whoever_may_not_is_referred_to_the_owner(machine: Machine) -> None:
    machine.interrupt(ANN, 0o022)
    elsewhere = ("-p", f"output.dir={machine.folder}/ben")
    for words in (
        ["cancel", JOB],
        ["retry", JOB, "--videos", "noon"],
        ["delete", JOB, "--yes"],
        ["report", JOB],
        ["render", machine.spec, "--serial", *elsewhere],
    ):
        code, said = machine.farm(BEN, *words)
        assert code == 5, said
        assert f" is uid {ANN}'s, drwxr-sr-x, and you are uid {BEN})" in said
        assert "Traceback" not in said
    code, said = machine.farm(BEN, "resume", JOB, "--serial")
    assert code == 2
    assert f"out is uid {ANN}'s, drwxr-sr-x, and you are uid {BEN}" in said


def test_a_private_job_keeps_nobody_from_the_others(machine: Machine) -> None:
    machine.interrupt(ANN, 0o022)
    (machine.runs / JOB).chmod(0o700)
    code, said = machine.farm(BEN, "list")
    assert code == 0
    assert f"left out: {machine.runs}/{JOB} is uid {ANN}'s, drwx------, and you are uid {BEN}" in said
    code, said = machine.farm(BEN, "status", JOB)
    assert code == 5
    assert f"Ask uid {ANN} to do it" in said
    machine.runs.chmod(0o2775)
    own = ("--job-id", "own", "-p", f"output.dir={machine.folder}/own")
    code, said = machine.farm(BEN, "render", machine.spec, "--serial", *own)
    assert code == 0, said

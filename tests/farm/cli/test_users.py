"""A runs directory that the users of a machine share: files have the rights that the umask gives, and whoever
may write there goes on with what another began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml

from jobs.file_digests import CACHE, LARGE_BYTES
from jobs.store.store import Store
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


def choices(machine: Machine) -> None:
    """A film of three shots, one of them with two takes, whose second pass waits for an approval."""
    shots: list[dict[str, object]] = [{"name": name, "seconds": 0.4, "prompt": name} for name in "abc"]
    shots[0]["takes"] = 2
    film = document(machine.folder / "out", version=3, engine={"name": "fake", "fake": {"sample_s": 2.0}})
    film |= {
        "videos": [{"name": "dawn", "shots": shots}],
        "upscale": {"steps": 1},
        "run": {"approve": "sample"},
    }
    machine.spec.write_text(yaml.safe_dump(film))


def until(happens: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 90
    while not happens():
        assert time.monotonic() < until_s, what
        time.sleep(0.1)


def post(page: str, action: str, **wish: object) -> str:
    headers = {"Content-Type": "application/json", "X-Farm-Page": "1"}
    request = Request(f"{page}jobs/{JOB}/do/{action}", json.dumps(wish).encode(), headers)
    with urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["message"])


def test_another_user_chooses_while_the_job_renders(machine: Machine) -> None:
    choices(machine)
    driver = machine.start(ANN, "render", machine.spec, "--serial")
    store = Store.at(str(machine.runs), JOB)
    until(lambda: len(store.committed_digests()) >= 2, "the first shot")
    code, said = machine.farm(BEN, "approve", JOB, "--chunks", 0)
    assert (code, "the driver that renders the job goes on" in said) == (0, True), said
    code, said = machine.farm(BEN, "retry", JOB, "--videos", "dawn", "--chunks", 0, "--prompt", "another")
    assert (code, "the driver that renders the job makes" in said) == (0, True), said
    code, said = machine.farm(BEN, "pick", JOB, "a", 2)
    assert (code, "takes it in" in said) == (0, True), said
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    assert "asked by farm retry" in said
    assert store.asked_retries() == ()
    assert "dawn.a.take2 (take 2 of a, seed" in machine.farm(ANN, "status", JOB)[1]


def test_another_users_page_chooses_and_renders_on(machine: Machine) -> None:
    choices(machine)
    assert machine.farm(ANN, "render", machine.spec, "--serial")[0] == 3
    page = machine.start(BEN, "serve", "--port", 0, "--serial")
    try:
        assert page.stdout is not None
        url = page.stdout.readline().strip()
        assert "1 chunk approved" in post(url, "approve", videos=["dawn"], chunks="0")
        assert "a driver was started" in post(url, "retry", videos=["dawn"], chunks="1", prompt="another")
        until(lambda: f"last by uid {BEN}" in machine.farm(ANN, "status", JOB)[1], "Ben's driver")
        until(lambda: f"{JOB}: unapproved" in machine.farm(ANN, "status", JOB)[1], "its end")
        assert "a driver was started" in post(url, "pick", videos=["dawn.a.take2"])
        until(lambda: "seed" in machine.farm(ANN, "status", JOB)[1], "the pick")
        until(lambda: f"{JOB}: unapproved" in machine.farm(ANN, "status", JOB)[1], "its end")
    finally:
        page.terminate()
        page.communicate(timeout=30)
    assert machine.farm(ANN, "approve", JOB, "--all")[0] == 0
    code, said = machine.farm(ANN, "resume", JOB, "--serial")
    assert code == 0, said
    assert "seed" in machine.farm(ANN, "status", JOB)[1]
    assert (machine.folder / "out" / "dawn.mp4").exists()
    assert not (machine.folder / "out" / "dawn.draft.mp4").exists()


def test_whoever_may_not_write_chooses_nothing(machine: Machine) -> None:
    choices(machine)
    assert machine.farm(ANN, "render", machine.spec, "--serial", mask=0o022)[0] == 3
    for words in (
        ["approve", JOB, "--all"],
        ["pick", JOB, "a", 2],
        ["retry", JOB, "--all", "--prompt", "no"],
    ):
        code, said = machine.farm(BEN, *words)
        assert code == 5, said
        assert f" is uid {ANN}'s, drwxr-sr-x, and you are uid {BEN})" in said
        assert "Traceback" not in said

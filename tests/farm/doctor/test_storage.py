from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.doctor.storage import check_output
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.spec.output import Output
from tests.farm.doctor.conftest import Doctor, film, found


def test_a_good_store_and_nothing_left_in_it(doctor: Doctor, tmp_path: Path) -> None:
    assert found(doctor(None, "--runs", tmp_path / "new" / "runs"), "store", "ok")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["/proc/runs", "file"])
def test_a_place_that_cannot_be_written(doctor: Doctor, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    finding = found(doctor(None, "--runs", tmp_path / place), "store", "fail")
    assert place in finding["message"]
    assert "--runs" in finding["fix"]


def test_a_store_nobody_knows(doctor: Doctor) -> None:
    finding = found(doctor(None, "--runs", "gopher://hole/runs"), "store", "fail")
    assert "gopher" in finding["message"]


def test_a_read_only_disk(doctor: Doctor, read_only: Path) -> None:
    finding = found(doctor(None, "--runs", read_only / "runs"), "store", "fail")
    assert "ead-only" in finding["message"]


def test_a_disk_without_room(doctor: Doctor, small_disk: Path, tmp_path: Path) -> None:
    """The film of some 7 MiB of frames does not fit on 3 MiB."""
    data = film(tmp_path / "out", defaults={"width": 256, "height": 256})
    finding = found(doctor(data, "--runs", small_disk), "disk", "fail")
    assert str(small_disk) in finding["message"]
    assert "make room" in finding["fix"]


def test_a_plan_larger_than_any_disk(doctor: Doctor, tmp_path: Path) -> None:
    data = film(tmp_path / "out", defaults={"width": 16384, "height": 16384})
    data["videos"][0]["chunks"][0]["generate"]["num_frames"] = 8193
    assert "GiB are free" in found(doctor(data), "disk", "fail")["message"]


def test_films_under_tmp(doctor: Doctor) -> None:
    assert "may vanish" in found(doctor(film(Path("/tmp/films"))), "output", "warn")["fix"]


@pytest.mark.usefixtures("doctor")
def test_films_that_cannot_be_written(read_only: Path) -> None:
    """A spec that names it is refused while it is checked; it may also freeze afterwards."""
    with pytest.raises(SpecError) as caught:
        load_spec(film(read_only / "films"))
    (problem,) = caught.value.problems
    assert problem.place == "output.dir"
    assert "cannot be written" in problem.value
    (finding,) = check_output(Output(dir=str(read_only / "films")))
    assert finding.level == "fail"
    assert "output.dir" in finding.fix


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "small", "size=3m")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "frozen", "ro")


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, where the test may mount one."""
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "tmpfs", "-o", options, "none", str(folder)]
    if (
        not mount
        or not umount
        or os.geteuid()
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run([umount, str(folder)], check=True)

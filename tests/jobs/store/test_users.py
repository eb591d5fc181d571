"""A run directory that several Unix users see: real ones, so these tests need root."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.storage_problems import barred, user_name
from jobs.store.process import alive, this_process
from jobs.store.store import Store
from tests.jobs.store.test_local import in_child

NOBODY = 65534
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes its user, which root alone may")


def as_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def test_a_living_process_that_proc_hides_is_not_taken_for_dead() -> None:
    """`hidepid`, as on many shared machines: the job would be taken over from a user who renders it."""
    root, libc = this_process(), ctypes.CDLL(None, use_errno=True)

    def look() -> None:
        hides = b"hidepid=2"
        if (
            libc.unshare(CLONE_NEWNS)
            or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
            or libc.mount(b"proc", b"/proc", b"proc", 0, hides)
        ):
            raise OSError(ctypes.get_errno(), "no mounts here")
        as_nobody()
        assert not Path(f"/proc/{root.pid}").exists()
        raise RuntimeError(f"alive: {alive(root)}")

    said = in_child(look)
    if "no mounts here" in said:
        pytest.skip(said)
    assert said == "RuntimeError: alive: None"


def test_whoever_has_no_name_is_called_by_number() -> None:
    assert user_name(0) == "root"
    assert user_name(2_000_000_011) == "uid 2000000011"


@pytest.mark.parametrize(
    ("folder", "file", "said"),
    [
        (0o755, 0o644, "harbor is root's, drwxr-xr-x, and you are nobody"),
        (0o700, 0o666, "harbor is root's, drwx------, and you are nobody"),
        (0o777, 0o600, "state.json is root's, -rw-------, and you are nobody"),
        (0o777, 0o644, "state.json is root's, -rw-r--r--, and you are nobody"),
        (0o777, 0o666, "None"),
    ],
)
def test_the_refusal_names_what_bars_the_way_and_whose_it_is(
    shared: Path, folder: int, file: int, said: str
) -> None:
    harbor = shared / "harbor"
    harbor.mkdir()
    state = harbor / "state.json"
    state.touch()
    state.chmod(file)
    harbor.chmod(folder)

    def look() -> None:
        as_nobody()
        raise RuntimeError(str(barred(state)).replace(f"{shared}/", "").replace("harbor/", ""))

    assert in_child(look) == f"RuntimeError: {said}"


def test_a_job_that_may_not_be_seen_keeps_nobody_from_the_others(shared: Path) -> None:
    for job in ("harbor", "pier"):
        with Store.open(str(shared), job).lock():
            Store.open(str(shared), job).write_json("plan.json", {})
    (shared / "pier").chmod(0o700)

    def look() -> None:
        as_nobody()
        raise RuntimeError(" ".join(store.job_id for store in Store.every(str(shared))))

    assert in_child(look) == "RuntimeError: harbor"


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user reaches, which pytest's own are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)

"""A driver that was stopped, taken for dead and continued replaces no film of its successor."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import fsspec
import pytest

from farm.api import films
from farm.state.job_state import STATE_FORM
from jobs.store import lock as lock_module
from jobs.store.lock import JobLock, LockTiming
from jobs.store.store import Store
from tests.durability.test_zombies import ROOT, await_stop

ASSEMBLING = "farm.output.delivery", "assemble_film"
NAMING = "farm.output.local_outlet.LocalOutlet", "create"
COPYING = "jobs.store.remote.RemoteBackend", "copy"

DRIVER = """
    import json, os, signal, sys
    from pkgutil import resolve_name
    from farm.api import render
    from jobs.errors import JobBusy
    from jobs.store.lock import JobLock, LockTiming
    from jobs.store.store import Store

    Store.lock = lambda store: JobLock(store.backend, LockTiming(0.2, 1.0))
    place, name = resolve_name({place!r}), {name!r}
    real = getattr(place, name)

    def stopping(*args, **more):
        setattr(place, name, real)
        os.kill(os.getpid(), signal.SIGSTOP)
        return real(*args, **more)

    setattr(place, name, stopping)
    try:
        for event in render(json.loads(sys.argv[1]), runs=sys.argv[2], serial=True):
            pass
    except JobBusy as busy:
        print(busy, flush=True)
"""


def spec(out: str, seed: int) -> dict[str, Any]:
    chunk = {"generate": {"prompt": "a", "num_frames": 17}}
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1, "seed": seed},
        "videos": [{"name": "dawn", "chunks": [chunk]}, {"name": "noon", "chunks": [chunk]}],
        "output": {"dir": out, "preset": "ultrafast"},
    }


@pytest.fixture
def other_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process cannot tell whether the first driver lives, and watches its lock for a second."""
    monkeypatch.setattr(lock_module, "alive", lambda _: None)
    monkeypatch.setattr(Store, "lock", lambda store: JobLock(store.backend, LockTiming(0.2, 1.0)))


@pytest.mark.parametrize("point", [ASSEMBLING, NAMING, COPYING], ids=["assembling", "naming", "copying"])
@pytest.mark.usefixtures("other_machine")
def test_a_driver_that_wakes_up_too_late_delivers_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, point: tuple[str, str]
) -> None:
    remote = point == COPYING
    out = f"{request.getfixturevalue('s3_url')}/late" if remote else str(tmp_path / "out")
    runs = str(tmp_path / "runs")
    script = textwrap.dedent(DRIVER.format(place=point[0], name=point[1]))
    command = [sys.executable, "-c", script, json.dumps(spec(out, seed=1)), runs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        try:
            await_stop(first.pid)
            edited = films(spec(out, seed=2), runs=runs, serial=True)
            first.send_signal(signal.SIGCONT)
            told, _ = first.communicate(timeout=60)
        finally:
            first.kill()
    assert "took the job over" in told
    assert standing(out) == {f"{film.video}.mp4": film.sha256 for film in edited}
    state = Store.find(runs, "harbor").recall(STATE_FORM)
    assert state is not None
    assert {film.sha256 for film in state.videos} == {film.sha256 for film in edited}
    again = films(spec(out, seed=3), runs=runs, serial=True)
    assert {film.sha256 for film in again}.isdisjoint({film.sha256 for film in edited})


def standing(out: str) -> dict[str, str]:
    """SHA-256 of everything there, hidden or not."""
    system, root = fsspec.core.url_to_fs(out)
    system.invalidate_cache()
    return {
        path.rpartition("/")[2]: hashlib.sha256(system.cat_file(path)).hexdigest()
        for path in system.find(root)
    }

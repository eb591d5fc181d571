"""The job lock: one holder, takeover from the dead, on every medium."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.errors import JobBusy
from jobs.storage_problems import user_name
from jobs.store import lock as lock_module
from jobs.store.lock import Driver, JobLock, LockTiming, presence
from jobs.store.lock_file import read_holder
from jobs.store.opening import open_backend
from jobs.store.process import Process, alive, this_process
from jobs.store.store import Store

FAST = LockTiming(beat_s=0.2, stale_s=1.2)
STEADY = LockTiming(beat_s=1.0, stale_s=4.0)
"""For two that watch each other on a busy machine: a renewal may come a second late."""
SLOW = LockTiming(beat_s=30.0, stale_s=60.0)

HOLD = """
    import sys, time
    from jobs.store.lock import LockTiming
    from jobs.store.store import Store
    with Store.open(sys.argv[1], "harbor").lock(LockTiming(beat_s=0.1, stale_s=1.2)) as lock:
        print("held", flush=True)
        try:
            while True:
                time.sleep(0.02)
                lock.check()
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


@contextmanager
def other_holder(runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A second process that holds the lock of `harbor` until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(runs)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def as_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this host unable to tell whether the holder's process lives, as for another machine."""
    monkeypatch.setattr(lock_module, "alive", lambda _: None)


def test_one_at_a_time(store: Store) -> None:
    with store.lock(SLOW) as lock:
        assert lock.held
        with pytest.raises(JobBusy, match=f"process {os.getpid()} .*farm cancel"):
            store.lock(SLOW).acquire()
        lock.check()
    assert not lock.held
    with store.lock(SLOW):
        pass
    assert len(store.backend.entries("lock")) == 1


def test_letting_go_of_a_lock_that_was_refused_changes_nothing(store: Store) -> None:
    with store.lock(SLOW) as lock:
        refused = store.lock(SLOW)
        with pytest.raises(JobBusy):
            refused.acquire()
        refused.release()
        lock.confirm()
        assert lock.held


def test_one_of_many_contenders_wins(store: Store) -> None:
    def contend(_: int) -> JobLock | None:
        lock = store.lock(SLOW)
        try:
            lock.acquire()
        except JobBusy:
            return None
        return lock

    with store.lock(SLOW):
        pass
    with ThreadPoolExecutor(8) as pool:
        winners = [lock for lock in pool.map(contend, range(8)) if lock is not None]
    assert len(winners) == 1
    winners[0].release()


def test_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    heard: list[str] = []
    with other_holder(tmp_path) as process:
        with pytest.raises(JobBusy, match=f"process {process.pid} "):
            Store.open(str(tmp_path), "harbor").lock().acquire()
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        with Store.open(str(tmp_path), "harbor").lock(tell=heard.append):
            assert time.monotonic() - started < 2
    who = f"process {process.pid} of {user_name()} on {os.uname().nodename}"
    assert heard == [f"Took the job over from {who}, which has ended."]


def test_a_stopped_process_of_this_host_keeps_its_lock(tmp_path: Path) -> None:
    with other_holder(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(2 * FAST.stale_s)
        with pytest.raises(JobBusy, match="that process is running"):
            Store.open(str(tmp_path), "harbor").lock(FAST).acquire()
        process.send_signal(signal.SIGCONT)


def test_a_silent_holder_elsewhere_is_taken_over_and_steps_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_foreign(monkeypatch)
    heard: list[str] = []
    with other_holder(tmp_path) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGSTOP)
        with Store.open(str(tmp_path), "harbor").lock(FAST, heard.append):
            process.send_signal(signal.SIGCONT)
            assert process.stdout.readline() == "JobBusy\n"
            assert process.wait(10) == 0
    assert "no sign of life" in heard[-1]


def test_a_renewed_lock_elsewhere_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_foreign(monkeypatch)
    with other_holder(tmp_path), pytest.raises(JobBusy, match="it renews its lock"):
        Store.open(str(tmp_path), "harbor").lock(STEADY).acquire()


@pytest.mark.parametrize("clock_s", [-1e6, 1e6])
def test_another_machines_clock_is_not_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch, clock_s: float
) -> None:
    as_foreign(monkeypatch)
    holder = store.lock(LockTiming(beat_s=0.2, stale_s=4.0))
    holder.acquire()
    wrong = time.time() + clock_s
    monkeypatch.setattr(time, "time", lambda: wrong)
    with pytest.raises(JobBusy, match="it renews its lock"):
        store.lock(STEADY).acquire()
    holder.release()


def test_the_replaced_holder_is_told_and_leaves_the_lock_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_foreign(monkeypatch)
    sleeper = store.lock(SLOW)
    sleeper.acquire()
    successor = store.lock(FAST)
    successor.acquire()
    sleeper.beat()
    assert not sleeper.held
    with pytest.raises(JobBusy, match="took the job over"):
        sleeper.check()
    sleeper.release()
    holder = read_holder(store.backend)
    assert holder is not None
    assert not holder.released
    successor.check()
    successor.release()


def test_a_contender_that_slept_through_a_cleaning_does_not_win(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.lock(SLOW):
        pass
    old = read_holder(store.backend)
    with store.lock(SLOW):
        pass
    with store.lock(SLOW) as current:
        late = store.lock(SLOW)
        answers = iter([old])
        real = read_holder
        monkeypatch.setattr(lock_module, "read_holder", lambda backend: next(answers, None) or real(backend))
        with pytest.raises(JobBusy, match="a moment ago"):
            late.acquire()
        current.beat()
        assert current.held


def test_a_torn_lock_file_still_locks(store: Store) -> None:
    holder = store.lock(LockTiming(beat_s=0.2, stale_s=4.0))
    holder.acquire()
    (name,) = store.backend.entries("lock")
    store.backend.replace(f"lock/{name}", b"{")
    with pytest.raises(JobBusy):
        store.lock(STEADY).acquire()
    holder.release()
    with store.lock(SLOW):
        pass


def test_a_look_at_the_lock_tells_who_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Store.open(str(tmp_path), "harbor").backend
    assert presence(backend).driver is Driver.NONE
    with other_holder(tmp_path) as process:
        seen = presence(backend)
        assert seen.driver is Driver.RUNNING
        assert seen.who == f"process {process.pid} of {user_name()} on {os.uname().nodename}"
    assert presence(backend).driver is Driver.ENDED
    as_foreign(monkeypatch)
    assert presence(backend, SLOW).driver is Driver.RUNNING
    time.sleep(FAST.stale_s)
    assert presence(backend, FAST).driver is Driver.SILENT
    monkeypatch.undo()
    with Store.open(str(tmp_path), "harbor").lock():
        pass
    assert presence(backend).driver is Driver.NONE


def test_a_reused_pid_is_not_the_same_process() -> None:
    me = this_process()
    assert alive(me) is True
    assert alive(dataclasses.replace(me, started="1")) is False
    assert alive(dataclasses.replace(me, machine="elsewhere")) is None
    assert alive(Process(0, "", "")) is None


@pytest.mark.parametrize("elsewhere", [False, True], ids=["this host", "another host"])
def test_a_copy_made_while_the_job_is_rendered_is_a_job_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    heard: list[str] = []
    with other_holder(tmp_path / "runs") as process:
        shutil.copytree(tmp_path / "runs", tmp_path / "copy")
        if elsewhere:
            as_foreign(monkeypatch)
        copy = Store.open(str(tmp_path / "copy"), "harbor")
        looked = presence(copy.backend)
        assert looked.driver is (Driver.SILENT if elsewhere else Driver.ELSEWHERE)
        assert looked.place == str(tmp_path / "runs" / "harbor")
        with copy.lock(FAST, heard.append) as lock:
            assert lock.held
            assert presence(copy.backend, STEADY).driver is Driver.RUNNING
        if not elsewhere:
            told = f"a copy of {tmp_path}/runs/harbor, which process {process.pid} of {user_name()} on "
            assert told in heard[0]
            with pytest.raises(JobBusy, match="that process is running"):
                Store.open(str(tmp_path / "runs"), "harbor").lock(FAST).acquire()


def test_a_directory_that_was_moved_or_is_reached_by_another_path_is_no_copy(tmp_path: Path) -> None:
    with other_holder(tmp_path / "runs"):
        (tmp_path / "link").symlink_to(tmp_path / "runs")
        for runs in ("link", "moved"):
            if runs == "moved":
                (tmp_path / "runs").rename(tmp_path / "moved")
            store = Store(open_backend(str(tmp_path / runs), "harbor"), runs, "harbor")
            assert presence(store.backend).driver is Driver.RUNNING
            with pytest.raises(JobBusy, match="that process is running"):
                store.lock(FAST).acquire()

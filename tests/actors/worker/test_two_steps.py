"""Two steps of one worker: the next begins while the last one's result arrives."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.engines.base import Arriving
from actors.engines.fake import FakeEngine
from tests.actors.worker.fake_jobs import MakeBench, job_spec

if TYPE_CHECKING:
    from actors.payload import Payload


def test_the_next_step_begins_while_the_last_ones_result_arrives(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, later = make_bench(job_spec()), make_bench(job_spec())
    at_once.run_all()
    sample, second = FakeEngine.denoise, threading.Event()
    begun: list[int] = []

    def arriving(self: FakeEngine, params: Any, *inputs: Any) -> Arriving:
        begun.append(1)
        if len(begun) == 2:
            second.set()
        made = sample(self, params, *inputs)

        def land() -> Payload:
            assert second.wait(20.0), "the second step waited for the first one's result"
            return made

        return Arriving(land)

    first, other = "film/00000/sample", "film/00003/sample"
    for task in (*later.graph.tasks[first].needs, *later.graph.tasks[other].needs):
        later.run(task.task)
    monkeypatch.setattr(FakeEngine, "denoise", arriving)
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(later.worker.run, [later.order(first), later.order(other)]))
    assert [one.commit.sha256 for one in results] == [at_once.commits[task].sha256 for task in (first, other)]


def test_a_signal_does_not_wait_until_the_result_has_arrived(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait for the device is over when the device is done, whatever comes."""
    bench, sample, task = make_bench(job_spec()), FakeEngine.denoise, "film/00000/sample"
    done, finish = os.pipe()

    def arriving(*inputs: Any) -> Arriving:
        def land() -> Payload:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            ctypes.CDLL(None).read(done, ctypes.create_string_buffer(1), 1)
            return made

        made = sample(*inputs)
        return Arriving(land)

    for need in bench.graph.tasks[task].needs:
        bench.run(need.task)
    monkeypatch.setattr(FakeEngine, "denoise", arriving)
    late = threading.Timer(20.0, os.write, (finish, b"."))
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    signal.siginterrupt(signal.SIGUSR1, False)
    begun = time.monotonic()
    late.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            bench.worker.run(bench.order(task))
        assert time.monotonic() - begun < 10.0
    finally:
        late.cancel()
        os.write(finish, b".")
        signal.signal(signal.SIGUSR1, before)
        bench.worker.destroy()
        os.close(done)
        os.close(finish)


def test_frames_that_are_still_on_the_device_are_fetched_outside_the_step(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, later = make_bench(job_spec()), make_bench(job_spec())
    at_once.run_all()
    decode, landed_on = FakeEngine.decode, []

    class Frames:
        def __init__(self, frames: np.ndarray) -> None:
            self.frames = frames

        def __len__(self) -> int:
            return len(self.frames)

        def __getitem__(self, which: slice) -> Frames:
            return Frames(self.frames[which])

        def send(self) -> Frames:
            return self

        def land(self) -> np.ndarray:
            landed_on.append(threading.current_thread().name)
            return np.ascontiguousarray(self.frames)

    monkeypatch.setattr(FakeEngine, "decode", lambda *inputs: Frames(decode(*inputs)))
    later.run_all()
    assert landed_on
    assert not any(name.startswith("device") for name in landed_on)
    assert {task: commit.sha256 for task, commit in later.commits.items()} == {
        task: commit.sha256 for task, commit in at_once.commits.items()
    }

"""What a worker reads for the segment of a chunk that was decoded in windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.worker.inputs import InputReader, OneAtATime
from jobs.errors import CorruptArtifact
from tests.actors.worker.fake_jobs import MakeBench, job_spec

ROUNDS = {"steps": 2, "temporal": 4}
SEGMENT = "film/00001/segment"


def test_windows_come_one_at_a_time_and_are_not_kept(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec(upscale=ROUNDS))
    bench.run_before(SEGMENT)
    bench.worker._cache.clear()
    order = bench.order(SEGMENT)
    names = ("film/00001.w0/decode", "film/00001.w2/decode")
    lent = {name: bench.payload(name) for name in names}
    windows = InputReader(bench.worker._cache, bench.store).inputs(order, lent)["frames"]
    assert isinstance(windows, OneAtATime)
    assert (len(windows), len(windows[1:3])) == (4, 2)
    assert windows[2] is lent[names[1]], "not copied"
    assert sum(len(window["frames"]) for window in windows) == 4 * 16
    assert not any(bench.worker._cache.get(bench.digests[need.task]) for need in order.task.needs)


def test_a_segment_is_the_same_from_any_place(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec(upscale=ROUNDS))
    bench.run_before(SEGMENT)
    expected = bench.run(SEGMENT).sha256
    bench.worker._cache.clear()
    bench.store.void([bench.digests[SEGMENT]])
    assert bench.worker.run(bench.order(SEGMENT)).commit.sha256 == expected


def test_a_damaged_window_is_named(make_bench: MakeBench) -> None:
    """It is found while ffmpeg runs; the window is then made again."""
    bench = make_bench(job_spec(upscale=ROUNDS))
    bench.run_before(SEGMENT)
    bench.worker._cache.clear()
    damaged = bench.commits["film/00001.w2/decode"]
    (Path(bench.store.url) / damaged.file).write_bytes(b"nothing")
    with pytest.raises(CorruptArtifact) as caught:
        bench.worker.run(bench.order(SEGMENT))
    assert caught.value.digest == bench.digests["film/00001.w2/decode"]

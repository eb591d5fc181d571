"""Memory that runs out within a step, with an error or without."""

from __future__ import annotations

import itertools

import pytest

from jobs.errors import (
    OutOfMemory,
)
from jobs.failures import Rung
from tests.actors.worker.fake_jobs import MakeBench, job_spec


def test_changing_rungs_are_recorded(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_before("film/00000/decode")
    rungs = (Rung.EMPTY_CACHE, Rung.OFFLOAD)
    assert bench.run("film/00000/decode", rungs=rungs).provenance["exact"] is True
    bench.store.void([bench.digests["film/00000/decode"]])
    provenance = bench.run("film/00000/decode", rungs=(*rungs, Rung.TILE_DECODE)).provenance
    assert provenance["exact"] is False
    assert provenance["ladder"] == ["empty_cache", "offload", "tile_decode"]


def test_memory_that_runs_out_without_an_error_is_an_error(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until nothing more can be freed; then the result is taken, and not called exact."""
    bench, counted = make_bench(job_spec()), itertools.count()
    decodes = ("film/00001/decode", "film/00002/decode")
    for task in bench.graph.tasks:
        if task not in decodes and not task.endswith("/segment"):
            bench.run(task)
    monkeypatch.setattr("actors.worker.worker.failed_allocations", lambda _: next(counted))
    room = (Rung.EMPTY_CACHE, Rung.EVICT_RESIDENTS)
    for rungs in ((), room[:1]):
        with pytest.raises(OutOfMemory, match="film/00001/decode: memory of cpu ran out within the step"):
            bench.run("film/00001/decode", rungs=rungs)
    taken = bench.run("film/00001/decode", rungs=room).provenance
    assert taken["exact"] is False
    assert "memory ran out within the step" in taken["warnings"][0]
    assert bench.run(decodes[1]).provenance["exact"] is False, "what was in vain once is tried again"
    monkeypatch.setattr("actors.worker.worker.failed_allocations", lambda _: 7)
    bench.store.void([bench.digests[decodes[1]]])
    assert bench.run(decodes[1]).provenance["exact"] is True

"""Memory that runs out within a step, with an error or without."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from jobs.errors import (
    OutOfMemory,
)
from jobs.failures import Rung
from jobs.planning.params import EncodeText
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


def prompt_of(bench: Any) -> str:
    return next(name for name, task in bench.graph.tasks.items() if isinstance(task.params, EncodeText))


def freed(bench: Any, task: str, monkeypatch: pytest.MonkeyPatch, rungs: tuple[Rung, ...] = ()) -> list[str]:
    """What the engine gives back before the task."""
    levels: list[str] = []
    monkeypatch.setattr(bench.worker._engine, "free", levels.append)
    assert bench.run(task, rungs=rungs).provenance["exact"] is True
    return levels


def test_the_first_rung_gives_the_text_encoder_back_unless_it_is_to_run(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, rungs = make_bench(job_spec()), (Rung.EMPTY_CACHE, Rung.EVICT_RESIDENTS)
    first = prompt_of(bench)
    assert freed(bench, first, monkeypatch, rungs) == ["cache", "resident"]
    bench.run_before("film/00000/sample")
    assert freed(bench, "film/00000/sample", monkeypatch, rungs[:1]) == ["prompts", "cache"]
    assert freed(bench, "film/00000/decode", monkeypatch) == []


def test_where_prompts_come_first_the_text_encoder_leaves_with_the_next_task(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(job_spec(), prompts_first=True)
    first = prompt_of(bench)
    assert freed(bench, first, monkeypatch) == []
    bench.run_before("film/00000/sample")
    assert freed(bench, "film/00000/sample", monkeypatch) == ["prompts"]


def test_reading_prompts_finds_room_by_streaming_as_sampling_does(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text encoder can be streamed; before that, no result is taken that may have other bytes."""
    bench, counted = make_bench(job_spec()), itertools.count()
    first, room = prompt_of(bench), (Rung.EMPTY_CACHE, Rung.EVICT_RESIDENTS, Rung.OFFLOAD)
    monkeypatch.setattr("actors.worker.worker.failed_allocations", lambda _: next(counted))
    with pytest.raises(OutOfMemory):
        bench.run(first, rungs=room[:2])
    assert bench.run(first, rungs=room).provenance["exact"] is False


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

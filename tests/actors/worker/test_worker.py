"""The worker on the fake engine: inputs, verification, commits, error kinds, the memory ladder."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.payload import Payload, pack
from actors.steps.run import run_stage
from actors.worker.order import CACHE_BYTES
from actors.worker.worker import StageWorker
from jobs.errors import (
    BadOutput,
    CorruptArtifact,
    FailureKind,
    OutOfMemory,
    StageBug,
    StageError,
    StorageProblem,
    StoreUnusable,
)
from jobs.store.local import LocalBackend
from jobs.store.store import Store
from tests.actors.worker.fake_jobs import MakeBench, job_spec


def test_a_film_in_two_runs_has_the_same_bytes(make_bench: MakeBench) -> None:
    first, second = make_bench(job_spec()), make_bench(job_spec(), cache_bytes=0)
    first.run_all()
    second.run_all()
    assert {task: commit.sha256 for task, commit in first.commits.items()} == {
        task: commit.sha256 for task, commit in second.commits.items()
    }


@pytest.mark.parametrize("joint", ["still", "overlap", "none"])
def test_films_with_a_second_pass(make_bench: MakeBench, joint: str) -> None:
    bench = make_bench(job_spec(upscale={"joint": joint, "steps": 2}))
    bench.run_all()
    assert bench.payload("film/00001/decode")["frames"].shape[1:] == (64, 128, 3)
    assert bench.payload("film/00001/upscale")["latents"].shape[3:] == (2, 4)


@pytest.mark.parametrize("joint", ["overlap", "still"])
@pytest.mark.parametrize("stage", ["sample", "upscale", "decode", "segment"])
def test_no_input_is_ignored(make_bench: MakeBench, tmp_path: Path, stage: str, joint: str) -> None:
    """What makes the fake engine worth testing with: wrong wiring changes bytes."""
    bench = make_bench(job_spec(upscale={"steps": 2, "joint": joint}))
    task = bench.graph.tasks[f"film/00002/{stage}"]
    bench.run_before(task.id)
    inputs: dict[str, list[Payload]] = {}
    for need in task.needs:
        inputs.setdefault(need.role, []).append(bench.payload(need.task))
    engine = bench.worker._ready()
    honest = _bytes(run_stage(task, inputs, engine, tmp_path))
    for role, payloads in inputs.items():
        for index, payload in enumerate(payloads):
            name = next(iter(payload.arrays))
            changed = {role: [*payloads[:index], _raised(payload, name), *payloads[index + 1 :]]}
            assert _bytes(run_stage(task, {**inputs, **changed}, engine, tmp_path)) != honest, role


def _raised(payload: Payload, name: str) -> Payload:
    """The payload with one of its arrays a little higher."""
    array = payload[name]
    return Payload({**payload.arrays, name: array + np.asarray(9, array.dtype)}, payload.meta)


def _bytes(result: Payload | Path) -> bytes:
    return result.read_bytes() if isinstance(result, Path) else bytes(pack(result))


def test_decode_depends_on_seed_through_the_global_generator(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_before("film/00000/decode")
    np.random.seed(1)
    first = bench.run("film/00000/decode").sha256
    bench.store.void([bench.digests["film/00000/decode"]])
    np.random.seed(2)
    assert bench.run("film/00000/decode").sha256 == first


def test_inputs_come_from_cache_or_hand_or_store(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_before("film/00001/sample")
    task = bench.graph.tasks["film/00001/sample"]
    handed = {need.task: bench.payload(need.task) for need in task.needs}
    expected = bench.run("film/00001/sample").sha256
    for commit in bench.commits.values():
        (Path(bench.store.url) / commit.file).unlink()
    bench.worker._cache.clear()
    bench.store.void([bench.digests[task.id]])
    assert bench.worker.run(bench.order(task.id), handed).commit.sha256 == expected
    assert not any(
        _shares(bench.worker._cache.get(bench.digests[name]), lent) for name, lent in handed.items()
    )
    bench.worker._cache.clear()
    with pytest.raises(CorruptArtifact) as caught:
        bench.worker.run(bench.order(task.id))
    assert caught.value.digest in {bench.digests[need.task] for need in task.needs}


def _shares(kept: Payload | None, lent: Payload) -> bool:
    """Whether a payload that the worker holds on to lies in the memory that it was handed."""
    assert kept is not None
    return any(np.shares_memory(array, lent[name]) for name, array in kept.arrays.items())


def test_the_payload_of_a_task_can_be_shared(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_all()
    payload = bench.worker.payload("film/00000/sample")
    assert payload is not None
    assert not payload["latents"].flags.writeable
    assert bench.worker.payload("film/00000/segment") is None
    assert bench.worker.config.cache_bytes == CACHE_BYTES


def test_provenance_tells_who_and_how(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_before("film/00000/sample")
    provenance = bench.run("film/00000/sample", attempt=3).provenance
    assert provenance["worker"] == "bench"
    assert provenance["attempt"] == 3
    assert provenance["exact"] is True
    assert provenance["ladder"] == []


@pytest.mark.parametrize(
    ("do", "task", "error"),
    [
        ("oom", "film/00001/sample", OutOfMemory),
        ("raise", "film/00001/sample", StageBug),
        ("disk_full", "film/00001/sample", StorageProblem),
        ("nan", "film/00001/sample", BadOutput),
        ("shape", "film/00001/sample", BadOutput),
        ("short", "film/00001/sample", BadOutput),
        ("black", "film/00001/decode", BadOutput),
        ("frozen", "film/00001/decode", BadOutput),
        ("short", "film/00001/decode", BadOutput),
        ("shape", "film/00001/decode", BadOutput),
    ],
)
def test_each_failure_has_its_kind_and_the_next_attempt_succeeds(
    make_bench: MakeBench, tmp_path: Path, do: str, task: str, error: type[StageError]
) -> None:
    bench = make_bench(job_spec([{"task": task, "attempts": [1], "do": do}], tmp_path))
    bench.run_before(task)
    with pytest.raises(error) as caught:
        bench.run(task)
    assert isinstance(caught.value, StageError)
    assert bench.store.commit(bench.digests[task]) is None
    if caught.value.kind is FailureKind.BAD_OUTPUT:
        assert isinstance(caught.value, BadOutput)
        assert len(caught.value.evidence or "") == 64
    bench.run(task, attempt=2)


def test_the_spec_can_relax_black_and_frozen(make_bench: MakeBench, tmp_path: Path) -> None:
    task = "film/00000/decode"
    spec = job_spec(
        [{"task": task, "do": "black"}], tmp_path, run={"verify": {"black": "warn", "frozen": "off"}}
    )
    bench = make_bench(spec)
    bench.run_before(task)
    assert bench.run(task).provenance["warnings"] == ["all frames are black"]


def test_errors_survive_a_pipe(make_bench: MakeBench, tmp_path: Path) -> None:
    import pickle

    task = "film/00000/sample"
    bench = make_bench(job_spec([{"task": task, "do": "nan"}], tmp_path))
    bench.run_before(task)
    with pytest.raises(BadOutput) as caught:
        bench.run(task)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.evidence, str(again)) == (caught.value.evidence, str(caught.value))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, r"the disk is full \([\d,]+ bytes are free\)\. Make space there"),
        (errno.EROFS, r"the file system is read-only\. Restore access there"),
    ],
)
def test_a_worker_that_cannot_write_says_why(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    bench = make_bench(job_spec())

    def refused(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(LocalBackend, "create", refused)
    with pytest.raises(StorageProblem, match=f"{re.escape(bench.store.url)}: {told}"):
        StageWorker(bench.worker.config).setup()
    with pytest.raises(StoreUnusable, match="choose another place with --runs"):
        Store.open(bench.worker.config.runs_url, bench.worker.config.job_id)


def test_an_earlier_winner_is_kept(make_bench: MakeBench) -> None:
    bench = make_bench(job_spec())
    bench.run_before("film/00000/sample")
    first = bench.run("film/00000/sample", attempt=1)
    assert bench.run("film/00000/sample", attempt=2).file == first.file


def test_the_trace_counts_computations(make_bench: MakeBench, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    bench = make_bench(job_spec(), trace=str(trace))
    bench.run_all()
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [line["task"] for line in lines if line["event"] == "begin"] == list(bench.graph.tasks)
    assert [line["task"] for line in lines if line["event"] == "end"] == list(bench.graph.tasks)


def _in_a_new_worker(bench: Any, task: str) -> None:
    worker = StageWorker(bench.worker.config)
    worker.setup()
    worker.run(bench.order(task))


@pytest.mark.parametrize(("do", "code"), [("kill", -9), ("exit", 1)])
def test_a_fault_can_end_the_process(make_bench: MakeBench, tmp_path: Path, do: str, code: int) -> None:
    task = "film/00000/sample"
    bench = make_bench(job_spec([{"task": task, "do": do, "attempts": [1]}], tmp_path))
    bench.run_before(task)
    process = multiprocessing.get_context("fork").Process(target=_in_a_new_worker, args=(bench, task))
    process.start()
    process.join(30)
    assert process.exitcode == code
    bench.run(task, attempt=2)


def test_a_worker_deletes_what_one_that_was_killed_left_behind(
    make_bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends by itself leaves nothing."""
    node = tmp_path / "tmp"
    node.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(node))
    task = "film/00000/sample"
    bench = make_bench(job_spec([{"task": task, "do": "kill", "attempts": [1]}], tmp_path))
    bench.run_before(task)
    assert list(node.glob("ltx-farm-*/")) == []
    process = multiprocessing.get_context("fork").Process(target=_in_a_new_worker, args=(bench, task))
    process.start()
    process.join(30)
    assert len(list(node.glob("ltx-farm-*/"))) == 1
    StageWorker(bench.worker.config).setup()
    assert list(node.glob("ltx-farm-*/")) == []

"""The comparison's jobs, bars and page. That it is fast is measured by `make bench`, not here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.payload import unpack
from benchmarks.contenders.plain import plain_loop
from benchmarks.contenders.ray_data import ALL_CHUNKS, RowStage, StreamStage, _row
from benchmarks.contenders.steps_alone import StepsAlone, make_crew, stages_of, unpacked
from benchmarks.page import table, write_section
from benchmarks.side_by_side import (
    FARM,
    RIVAL,
    STREAMED,
    Score,
    makespans,
    run_apart,
    section,
    start_ups,
    verdicts,
)
from benchmarks.timed_runs import Lap, Place, farm_lap, own_ray
from benchmarks.workloads import SHAPES, Workload
from farm.estimates.durations import read_durations
from farm.events import TaskStarted, WorkerReady
from farm.execution.serial import render_serial
from farm.session.opening import Scope
from farm.simulator.workload import StageTimes
from farm.state.event_log import EventLog
from jobs.loading.load import load_spec
from jobs.store.store import Store
from jobs.tasks.task import Stage

QUICK = StageTimes(0.01, 0.01, 0.01)


def test_bounds_of_the_three_jobs() -> None:
    bounds = [Workload(lengths).bound_s() for lengths in SHAPES.values()]
    assert bounds == pytest.approx([6.9, 6.9, 5.1])


def test_the_steps_alone_make_what_the_farm_commits(tmp_path: Path) -> None:
    """So everyone does the same work."""
    work = Workload((3,), QUICK)
    scope = Scope(str(tmp_path / "runs"), until=Stage.DECODE)
    list(render_serial(load_spec(work.document(tmp_path / "out")), scope))
    store = Store.open(str(tmp_path / "runs"), "bench")
    crew = make_crew(work, tmp_path / "gates", 1)
    steps = StepsAlone(crew, stages_of(crew))
    made: dict[str, Any] = {}
    for chunk in range(steps.chunks("film0")):
        for stage in stages_of(crew):
            made |= steps.run(stage, "film0", chunk)
    kept = {commit.provenance["task"]: commit for commit in store.commits().values()}
    assert len(made) == 1 + 3 * len(stages_of(crew))
    for task, payload in made.items():
        for name, array in unpack(store.read(kept[task])).arrays.items():
            assert np.array_equal(payload[name], array)


def test_both_forms_of_ray_data_hand_on_the_same(tmp_path: Path) -> None:
    crew = make_crew(Workload((3,), QUICK), tmp_path, 1)
    whole = RowStage(crew, Stage.SAMPLE)(_row("film0", ALL_CHUNKS, float("inf"), {}))
    streamed = list(StreamStage(crew, Stage.SAMPLE)(_row("film0", ALL_CHUNKS, float("inf"), {})))
    assert [row["chunk"] for row in streamed] == [[0], [1], [2]]
    chunks = {task for row in streamed for task in unpacked(row["payloads"][0])}
    assert chunks == set(unpacked(whole["payloads"][0]))


def test_a_plain_loop_takes_the_sum_of_its_stages(tmp_path: Path) -> None:
    lap = plain_loop(Workload((2, 1), StageTimes(0.05, 0.02, 0.03)), tmp_path)
    assert lap.makespan_s >= 3 * 0.1


def test_a_contender_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert run_apart("plain loop", tiny=False).reason == "it said nothing"


def scores(farm_s: float) -> dict[str, Score]:
    def laps(seconds: float) -> dict[str, Lap]:
        return {shape: Lap(1.0, seconds) for shape in SHAPES}

    rivals = {RIVAL: Score(laps(8.0), 3.0), STREAMED: Score(laps(5.2))}
    return {FARM: Score(laps(farm_s)), **rivals, "other": Score(reason="needs CUDA")}


def test_bars_are_judged_and_told() -> None:
    assert not any(met for said, met in verdicts(scores(7.9)).items() if "bound" in said)
    assert all(verdicts(scores(5.2)).values())
    text = section(scores(5.2), scores(5.2), "A machine.")
    assert "- met: 1 film of 12: 1.54 times as fast as Ray Data, 1.4 asked" in text
    assert "chunks streamed, 1.00 / 1.00 / 1.00 times as fast" in text
    assert "| other | - | - | - | needs CUDA |" in makespans(scores(5.2), tiny=False)
    done = {name: score for name, score in scores(5.2).items() if not score.reason}
    assert "why not" not in makespans(done, tiny=False)
    assert f"| {RIVAL} | 3.0 | 1.0 | 1.0 | 1.0 |" in start_ups(scores(5.2))


def test_a_section_replaces_itself_and_no_other(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    write_section("One", table(["a", "b"], [["x", "1"]]), page)
    write_section("Two", "two\n\n### Deeper\n\nmore", page)
    write_section("One", "new", page)
    text = page.read_text()
    assert text.count("## One\n\nnew\n\n## Two\n\ntwo\n\n### Deeper\n\nmore\n") == 1
    assert "| x | 1 |" not in text


@pytest.mark.long
@pytest.mark.ray
def test_the_farm_tells_its_lap_and_what_auto_took(tmp_path: Path) -> None:
    """Every worker is ready before the first task is handed out: start-up is not measured."""
    with own_ray(2):
        lap = farm_lap(Workload((2,), QUICK), "auto", Place(tmp_path / "one", gpus=2))
    log = list(EventLog(Store.open(str(tmp_path / "one" / "runs"), "one")))
    ready_s = [logged.at_s for logged in log if isinstance(logged.event, WorkerReady)]
    begun_s = min(logged.at_s for logged in log if isinstance(logged.event, TaskStarted))
    assert len(ready_s) >= 2
    assert max(ready_s) - begun_s < 0.1, "they begin together"
    assert lap.topology.startswith("mono=")
    assert lap.start_s > 0
    assert lap.makespan_s > 0
    assert 0.0 < read_durations(str(tmp_path / "one" / "runs")).latency_s < 1.0

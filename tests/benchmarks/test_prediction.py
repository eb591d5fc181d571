"""Predicted against taken, and topologies rendered: wall-clock bars that need the machine to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import prediction, scaling_real, topology_real
from benchmarks.timed_runs import Lap, own_ray
from benchmarks.topology_table import MOST_RATIO
from benchmarks.workloads import Workload
from farm.simulator.workload import StageTimes
from jobs.tasks.topology import Machine, parse_topology


def test_every_topology_of_the_jobs_parses_and_fits() -> None:
    assert len(prediction.JOBS) >= 8
    for work, topology in prediction.JOBS.values():
        assert parse_topology(topology, Machine(prediction.GPUS)).gpus <= prediction.GPUS
        assert work.times is None or work.bound_s(topology) < 10.0


def test_cells_are_six_or_more_and_take_seconds() -> None:
    assert len(topology_real.CELLS) >= 6
    for cell in topology_real.CELLS:
        split = topology_real.best_split(cell)
        assert parse_topology(split, Machine(cell.gpus)).gpus == cell.gpus
        assert 4.0 < cell.workload.bound_s(f"mono={cell.gpus}") < 8.0


def test_pages_say_what_was_missed() -> None:
    rows = [prediction.Row("job", "mono=1", 1.2, 1.0), prediction.Row("other", "mono=1", 1.0, 1.0)]
    assert "| job | `mono=1` | 1.20 | 1.00 | +20.0% |" in prediction.section(rows, "A machine.")
    assert "1 of 2 within 10%." in prediction.section(rows, "A machine.")
    cell, lap = topology_real.CELLS[0], Lap(1.0, 5.7, "mono=4,segment=4")
    row = topology_real.Row(cell, 6.84, lap, lap, "sample=3,decode=1", lap)
    text = topology_real.section([row], "A machine.")
    assert "| sleeps x 1 | 4 films of 8 | 4 | `mono=4` | 5.70 | 6.84 | +20.0% | 5.70 |" in text
    assert "Its plan is off by 20.0% at most; 10% is allowed." in text
    laps = {gpus: Lap(1.0, seconds, f"mono={gpus}") for gpus, seconds in ((1, 8.0), (4, 2.5))}
    text = scaling_real.section(laps, "A machine.")
    assert "| 4 | 2.50 | 3.20 | 0.800 |" in text
    assert "At least 0.800; 0.95 is asked." in text


@pytest.mark.ray
@pytest.mark.slow  # A wall-clock bar: it needs the machine to itself.
def test_predictions_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("1 film of 12", "3 films of 6, no upscale")
    monkeypatch.setattr(prediction, "JOBS", {name: prediction.JOBS[name] for name in some})
    monkeypatch.setattr(prediction, "LEARNT_FROM", prediction.LEARNT_FROM[:1])
    with own_ray(prediction.GPUS):
        rows = prediction.measure(tmp_path)
    assert [abs(row.error) <= prediction.ALLOWED for row in rows] == [True, True]


@pytest.mark.ray
@pytest.mark.slow  # A wall-clock bar: it needs the machine to itself.
def test_auto_is_as_fast_as_the_best(tmp_path: Path) -> None:
    with own_ray(4):
        row = topology_real.measure(topology_real.CELLS[2], tmp_path, tmp_path / "runs")
    assert row.ratio <= MOST_RATIO


def test_a_job_without_upscale_has_none() -> None:
    work = Workload((2,), StageTimes(0.1, 0.0, 0.1))
    assert "upscale" not in work.document(Path("out"))
    assert work.bound_s("sample=1,decode=1") == pytest.approx(0.3)

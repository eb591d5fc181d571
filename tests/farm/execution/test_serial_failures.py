"""Machines of another kind, inputs that change, chunks that fail: in one process."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Timer

import pytest
from PIL import Image

from actors.engines.fake import FakeEngine
from farm.api import films, render
from farm.events import JobPlanned, TaskFailed, TaskStarted
from jobs.errors import CannotRun, JobFailed
from jobs.tasks.task import Stage
from tests.farm.execution.serial_renders import committed, delivered, last, run, spec


def test_a_machine_of_another_kind_is_refused_or_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(spec(tmp_path / "out"), tmp_path / "runs", until=Stage.SAMPLE)
    known = FakeEngine.fingerprint
    monkeypatch.setattr(FakeEngine, "fingerprint", lambda engine: {**known(engine), "numpy": "0.1"})
    with pytest.raises(CannotRun, match=r"numpy is 0\.1 there and .* in this job.*mixed_compute"):
        run(spec(tmp_path / "out"), tmp_path / "runs")
    events = run(spec(tmp_path / "out", run={"mixed_compute": True}), tmp_path / "runs")
    assert last(events).outcome == "done"
    assert not last(events).state["videos"][0]["exact"]


def test_an_engine_that_decodes_otherwise_since_decodes_anew_and_samples_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages and model files are what they were, and only the farm's own code is another one."""
    monkeypatch.setattr("farm.state.fingerprint._own_code", lambda: "of before")
    run(spec(tmp_path / "out"), tmp_path / "runs", until=Stage.DECODE)
    monkeypatch.setattr("farm.state.fingerprint._own_code", lambda: "of today")
    known = FakeEngine.fingerprint
    monkeypatch.setattr(FakeEngine, "fingerprint", lambda engine: {**known(engine), "decode": {"noise": 2}})
    events = run(spec(tmp_path / "out"), tmp_path / "runs")
    assert last(events).outcome == "done"
    assert {task.rpartition("/")[2] for task in committed(events)} == {"decode", "segment"}


def test_a_picture_that_changes_meanwhile_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    picture = tmp_path / "still.png"

    def paint(shade: int) -> None:
        Image.new("RGB", (64, 64), (shade, shade, shade)).save(picture)

    chunk = {"generate": {"prompt": "p", "num_frames": 17, "first_image": str(picture)}}
    job = spec(tmp_path / "out", videos=[{"name": "v", "chunks": [chunk]}])
    paint(10)
    events = []
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        events.append(event)
        if isinstance(event, JobPlanned):
            paint(200)
    failures = [event for event in events if isinstance(event, TaskFailed)]
    assert len(failures) == 2, "the picture is encoded for each pass, at its size"
    assert {failure.kind for failure in failures} == {"invalid"}
    begun = f"{picture} has changed since this render began"
    assert all(failure.message.startswith(begun) for failure in failures)
    again = delivered(run(job, tmp_path / "runs"))
    assert again == delivered(run(spec(tmp_path / "other", videos=job["videos"]), tmp_path / "fresh"))


def test_a_lora_that_changes_meanwhile_is_not_taken_for_the_planned_one(tmp_path: Path) -> None:
    anna, ben = (tmp_path / f"{name}.safetensors" for name in ("anna", "ben"))
    loras = [{"path": str(path)} for path in (anna, ben)]
    chunk = {"generate": {"prompt": "p", "num_frames": 17, "loras": loras}}
    job = spec(tmp_path / "out", videos=[{"name": "v", "chunks": [chunk]}])
    anna.write_bytes(b"anna")
    ben.write_bytes(b"ben")
    events = []
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        events.append(event)
        if isinstance(event, JobPlanned):
            ben.write_bytes(b"another ben")
    failures = [event for event in events if isinstance(event, TaskFailed)]
    assert [(failure.task, failure.kind) for failure in failures] == [("v/00000/sample", "invalid")]
    assert failures[0].message.startswith(f"{ben} has changed since this render began")
    assert "v/00000/sample" not in committed(events)


def test_a_lora_that_was_another_meanwhile_ends_the_process_alone(tmp_path: Path) -> None:
    """It is put back before its task ends: what was read of it is forgotten, and the job goes on."""
    anna = tmp_path / "anna.safetensors"
    anna.write_bytes(b"anna")
    chunk = {"generate": {"prompt": "p", "num_frames": 17, "loras": [{"path": str(anna)}]}}
    job = spec(tmp_path / "out", videos=[{"name": "v", "chunks": [chunk]}])
    job["engine"] = {"name": "fake", "fake": {"sample_s": 0.6}}

    def exchange() -> None:
        aside = anna.rename(tmp_path / "aside")
        anna.write_bytes(b"ben!")
        aside.replace(anna)

    events = []
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        events.append(event)
        if isinstance(event, TaskStarted) and event.task == "v/00000/sample":
            Timer(0.2, exchange).start()
    assert "v/00000/sample" not in committed(events)
    assert last(events).outcome == "paused"
    assert f"{anna} was touched while v/00000/sample ran" in last(events).state["reason"]
    assert last(list(render(job, runs=str(tmp_path / "runs"), serial=True))).outcome == "done"


@pytest.mark.parametrize("fault", ["oom", "nan", "raise"])
def test_a_failure_is_retried_and_the_film_is_the_same(tmp_path: Path, fault: str) -> None:
    (clean,) = films(spec(tmp_path / "clean"), runs=str(tmp_path / "runs-clean"), serial=True)
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00001/sample", "attempts": [1], "do": fault}]}))
    job = spec(tmp_path / "out", engine={"name": "fake", "fake": {"faults": str(script)}})
    events = run(job, tmp_path / "runs")
    assert [event.task for event in events if isinstance(event, TaskFailed)] == ["v/00001/sample"]
    assert last(events).state["tasks"]["retried"] == 1
    assert last(events).state["videos"][0]["sha256"] == clean.sha256


def test_a_hopeless_chunk_is_quarantined_and_other_shots_finish(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text(json.dumps({"faults": [{"task": "v/00002/sample", "do": "raise"}]}))
    job = spec(tmp_path / "out", engine={"name": "fake", "fake": {"faults": str(script)}})
    events = run(job, tmp_path / "runs")
    state = last(events).state
    assert state["outcome"] == "partial"
    assert [failed["task"] for failed in state["failed"]] == ["v/00002/sample"]
    assert "v/00003/segment" in committed(events)
    with pytest.raises(JobFailed, match="farm why"):
        films(job, runs=str(tmp_path / "runs"), serial=True)

"""`auto` measures what it does not know, and only that."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cluster.session import Session
from farm.estimates.durations import Place, read_durations
from farm.events import Notice, WorkerReady
from jobs.planning.plan import make_plan
from jobs.store.documents import STATE
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.ray.commands import started, write_spec
from tests.ray.processes import alive, descendants, farm_workers, until
from tests.ray.specs import JOB, Rendered, load, render, render_alone, tiny_document


def noticed(rendered: Rendered) -> list[str]:
    """What was said, but for the warning that the pictures of so small a size are poor."""
    messages = [event.message for event in rendered.of(Notice)]
    return [message for message in messages if not message.startswith("warning: ")]


def test_a_probe_measures_before_auto_decides(ray_session: Session, tmp_path: Path) -> None:
    data = tiny_document(tmp_path / "out", 1, 4)
    rendered = render(tmp_path / "runs", data, "auto", gpus=2)
    said = noticed(rendered)
    assert said[0].endswith("before: measuring sample and upscale and decode")
    assert said[1].startswith("measured: sample ")
    assert said[2].startswith("topology ")
    told = [getattr(event, "message", type(event).__name__) for event in rendered.events]
    assert told.index(said[2]) < told.index(WorkerReady.__name__)
    assert rendered.films == render_alone(tmp_path / "serial", tiny_document(tmp_path / "b", 1, 4)).films
    known = read_durations(str(tmp_path / "runs"))
    place = Place(load(data).spec.engine, "cpu")
    tasks = build_graph(make_plan(load(data).spec)).tasks.values()
    assert all(known.knows(place, task) for task in tasks if task.stage is not Stage.ENCODE)

    other = {**tiny_document(tmp_path / "c", 1, 4), "name": "again"}
    again = render(tmp_path / "runs", other, "auto", gpus=2)
    assert not [message for message in noticed(again) if "measur" in message]


def test_a_stop_during_the_probe(tmp_path: Path) -> None:
    """The driver ends at once, resumable, and takes the probe's workers along."""
    spec = write_spec(tmp_path, tiny_document(tmp_path / "out", 1, 4))
    log = tmp_path / "log"
    with started("render", spec, "--runs", tmp_path / "runs", "--gpus", 2, log=log) as driver:
        until(lambda: "measuring" in log.read_text(), 120, "the probe begins")
        until(lambda: bool(farm_workers(driver.pid)), 60, "it has a worker")
        family = descendants(driver.pid)
        os.kill(driver.pid, signal.SIGTERM)
        assert driver.wait(timeout=20) == 4
        until(lambda: not alive(family), 20, "nobody outlives the driver")
    state = Store.open(str(tmp_path / "runs"), JOB).read_json(STATE)
    assert state is not None
    assert (state["outcome"], "SIGTERM" in state["reason"]) == ("interrupted", True)


def test_one_gpu_leaves_nothing_to_decide(ray_session: Session, tmp_path: Path) -> None:
    rendered = render(tmp_path / "runs", tiny_document(tmp_path / "out", 1, 4), "auto", gpus=1)
    told = [message.split()[0] for message in noticed(rendered)]
    assert [word for word in told if word != "waiting"] == ["topology"], "a busy machine waits for workers"

"""`auto` measures what it does not know, and only that; on a cluster that grows, on the first node."""

from __future__ import annotations

import os
import signal
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from cluster.inventory import NodeFacts
from cluster.local.cluster import LocalCluster
from farm.estimates.durations import Hardware, read_durations
from farm.events import Event, Notice, WorkerPlaced, WorkerReady
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from farm.state.job_state import INTERRUPTED
from jobs.planning.plan import make_plan
from jobs.store.documents import STATE
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.farm.execution.local_render import render
from tests.ray.kit import specs
from tests.ray.kit.specs import JOB, Rendered, load, render_alone

CHUNKS = 4
"""Of a shorter job nothing is worth measuring."""


def tiny_document(out: Path, videos: int, count: int) -> dict[str, Any]:
    """On the bundled model, as small as it films: what is measured is whether, not how long."""
    data = specs.tiny_document(out, videos, count)
    return {**data, "defaults": {**data["defaults"], "width": 32, "height": 32}}


def noticed(rendered: Rendered) -> list[str]:
    """What was said, but for the warning that the pictures of so small a size are poor."""
    messages = [event.message for event in rendered.of(Notice)]
    return [message for message in messages if not message.startswith("warning: ")]


def unknown(folder: Path, videos: int) -> set[Stage]:
    """Stages of a job on the bundled model whose seconds were not measured in the folder's runs."""
    known, spec = (
        read_durations(str(folder / "runs")),
        load(tiny_document(folder / "out", videos, CHUNKS)).spec,
    )
    place, tasks = Hardware(spec.engine, "cpu"), build_graph(make_plan(spec)).tasks.values()
    return {task.stage for task in tasks if not known.knows(place, task)}


def test_a_probe_measures_before_auto_decides(tmp_path: Path) -> None:
    data = tiny_document(tmp_path / "out", 1, CHUNKS)
    rendered = render(tmp_path / "runs", data, "auto", gpus=2)
    said = noticed(rendered)
    assert said[0].endswith("before: measuring sample and upscale and decode")
    assert said[1].startswith("measured: sample ")
    assert said[2].startswith("topology ")
    told = [getattr(event, "message", type(event).__name__) for event in rendered.events]
    assert told.index(said[2]) < told.index(WorkerReady.__name__)
    assert rendered.films == render_alone(tmp_path / "serial", tiny_document(tmp_path / "b", 1, CHUNKS)).films
    assert unknown(tmp_path, 1) <= {Stage.ENCODE}

    other = {**tiny_document(tmp_path / "c", 1, CHUNKS), "name": "again"}
    again = begun(tmp_path / "runs", other)
    assert again
    assert not [message for message in again if "measur" in message]


def begun(folder: Path, data: dict[str, Any]) -> list[str]:
    """What a render on two GPUs says until a worker is there."""
    scope, options = Scope(str(folder)), RayOptions("auto", gpus=2)
    events = render_on_ray(load(data), scope, options, LocalCluster().connect)
    before = takewhile(lambda event: not isinstance(event, WorkerPlaced), events)
    return noticed(Rendered(list(before)))


def test_one_gpu_leaves_nothing_to_decide(tmp_path: Path) -> None:
    rendered = render(tmp_path / "runs", tiny_document(tmp_path / "out", 1, 1), "auto", gpus=1)
    assert [message.split()[0] for message in noticed(rendered)] == ["topology"]


@pytest.mark.long
def test_auto_probes_the_first_node_that_comes_and_renders_on_all(tmp_path: Path) -> None:
    """A cluster that has scaled to nothing: what its autoscaler may bring counts, and is waited for."""
    node = [NodeFacts(f"n{number}", f"n{number}", gpus=1, cpus=2) for number in range(2)]
    cluster = LocalCluster([NodeFacts("head", "head", 0, 2)], reach=(2.0, 4.0))
    came: list[str] = []

    def meanwhile(event: Event) -> None:
        """A node comes when it is waited for."""
        if not isinstance(event, Notice):
            return
        for which, said in enumerate(("its autoscaler may reach 2 GPU", "topology mono=2")):
            if said in event.message and node[which].id not in came:
                came.append(node[which].id)
                cluster.join(node[which])

    data = tiny_document(tmp_path / "out", 2, CHUNKS)
    rendered = render(tmp_path / "runs", data, "auto", cluster, meanwhile=meanwhile)
    assert (rendered.outcome, came) == ("done", ["n0", "n1"])
    assert {"mono-0", "mono-1"} <= {event.worker for event in rendered.of(WorkerReady)}
    assert unknown(tmp_path, 2).isdisjoint({Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE})


def test_a_stop_during_the_probe(tmp_path: Path) -> None:
    """The driver ends, resumable, and takes the probe's workers along."""

    def stopped(_worker: str, _task: str) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 60.0

    cluster = LocalCluster(seconds=stopped)
    rendered = render(tmp_path / "runs", tiny_document(tmp_path / "out", 1, 4), "auto", cluster, gpus=2)
    assert any("measuring" in message for message in noticed(rendered))
    assert rendered.outcome == INTERRUPTED
    assert cluster.processes == []
    state = Store.open(str(tmp_path / "runs"), JOB).read_json(STATE)
    assert state is not None
    assert (state["outcome"], "SIGTERM" in state["reason"]) == (INTERRUPTED, True)

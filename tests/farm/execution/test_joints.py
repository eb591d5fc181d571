"""One film on every GPU: its first pass is a chain, its second pass is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.local.cluster import Doom, Dooms, LocalCluster, one_node
from cluster.local.faults import Crash
from farm.events import JobFinished, TaskCommitted, TaskStarted
from farm.execution.driver import RayOptions, render_on_ray
from farm.scheduler.graph import scheduled
from farm.session.opening import Scope
from farm.simulator.workload import SimulatedFilm, StageTimes
from farm.state.job_state import DONE
from farm.topology.bound import job_facts
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.topology import Machine, parse_topology
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import document, load, render_alone

GPUS, CHUNKS = 8, 40
SECONDS = {"encode": 0.2, "sample": 9.8, "upscale": 12.3, "decode": 1.4, "segment": 1.0}
"""Of LTXV 13B on one H200."""


def film(out: Path, count: int, joint: str) -> dict[str, Any]:
    data = document(out, videos=1, count=count)
    return {**data, "version": 3, "upscale": {**data["upscale"], "joint": joint}}


def seconds_of(_worker: str, task: str) -> float:
    return SECONDS["encode" if task.startswith("encode/") else task.rsplit("/", 1)[1]]


def bound_s(data: dict[str, Any], topology: str) -> float:
    tasks = build_graph(make_plan(load(data).spec)).tasks.values()
    facts = job_facts(scheduled(task, seconds_of("", task.id)) for task in tasks)
    return facts.bound(parse_topology(topology, Machine(GPUS))).seconds


def test_a_film_whose_second_pass_is_by_stills_takes_its_bound(tmp_path: Path) -> None:
    data = film(tmp_path / "out", CHUNKS, "still")
    cluster = LocalCluster([one_node(GPUS, cpus=16)], seconds_of)
    topology = f"mono={GPUS},segment=4"
    times: dict[str, float] = {}
    for event in render_on_ray(load(data), Scope(str(tmp_path)), RayOptions(topology), cluster.connect):
        if isinstance(event, TaskStarted):
            times.setdefault("first", cluster.clock.now_s)
        if isinstance(event, TaskCommitted):
            times["last"] = cluster.clock.now_s
    assert isinstance(event, JobFinished)
    assert event.outcome == DONE
    taken_s, least_s = times["last"] - times["first"], bound_s(data, topology)
    chained_s = bound_s(film(tmp_path / "out", CHUNKS, "overlap"), topology)
    assert taken_s <= 1.05 * least_s
    assert least_s < 0.85 * chained_s, "the first pass is what is left of the chain"


@pytest.mark.parametrize("topology", ["mono=3", "sample=1,upscale=2,decode=1,segment=1"])
@pytest.mark.parametrize("joint", ["still", "none"])
def test_the_film_is_that_of_the_serial_reference(tmp_path: Path, joint: str, topology: str) -> None:
    data = film(tmp_path / "out", 5, joint)
    alone = render_alone(tmp_path / "alone", film(tmp_path / "films of alone", 5, joint))
    rendered = render(tmp_path / "runs", data, topology)
    assert (rendered.outcome, rendered.films) == (DONE, alone.films)


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    data = film(tmp_path / "out", 5, "still")
    alone = render_alone(tmp_path / "alone", film(tmp_path / "films of alone", 5, "still"))
    dooms = [Doom(f"take0/{chunk:05d}/upscale", Crash(0.5)) for chunk in (1, 3)]
    rendered = render(tmp_path / "runs", data, "mono=3", LocalCluster(fates=Dooms(*dooms)))
    assert (rendered.outcome, rendered.films) == (DONE, alone.films)


def test_a_stopped_job_goes_on(tmp_path: Path) -> None:
    data = film(tmp_path / "out", 5, "still")
    alone = render_alone(tmp_path / "alone", film(tmp_path / "films of alone", 5, "still"))
    scope, how, cluster = Scope(str(tmp_path / "runs")), RayOptions("mono=2"), LocalCluster()
    driver = render_on_ray(load(data), scope, how, cluster.connect)
    commits = (event.task for event in driver if isinstance(event, TaskCommitted))
    done = next(task for task in commits if task.endswith("/upscale"))
    driver.close()
    rendered = render(tmp_path / "runs", data, "mono=3")
    assert (rendered.outcome, rendered.films) == (DONE, alone.films)
    again = [started.task for started in rendered.of(TaskStarted)]
    assert done not in again


def test_the_simulated_film_waits_as_the_real_one() -> None:
    times = StageTimes(9.8, 12.3, 1.4)
    tasks = {task.id: task for task in SimulatedFilm("v", 3, times, joint="still").tasks()}
    assert tasks["v/00000/upscale"].needs == ("v/00000/sample", "v/00001/sample")
    assert tasks["v/00002/upscale"].needs == ("v/00002/sample",)

"""Nodes that die, join and come back, and a head that falls silent, around a whole render."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.inventory import NodeFacts
from cluster.local.cluster import LocalCluster
from farm.events import Event, Notice, TaskCommitted, TaskStarted, WorkerGone, WorkerPlaced, WorkerSuspended
from farm.state.job_state import DONE, PAUSED
from farm.workers.outage import Patience
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import Rendered, document

HALVES = "sample=1@0.5,upscale=1@0.5,decode=1@0.5,segment=1"
"""Two nodes of three hold it, so one may die."""

Films = dict[str, str]


def nodes(count: int) -> list[NodeFacts]:
    """So many nodes of one GPU, beside the head's."""
    return [NodeFacts("head", "head", 0, 2), *(NodeFacts(f"n{n}", f"n{n}", 1, 2) for n in range(count))]


def on_commit(number: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """Act once, when so many tasks are committed."""
    left = [number]

    def meanwhile(event: Event) -> None:
        left[0] -= isinstance(event, TaskCommitted)
        if left[0] == 0 and isinstance(event, TaskCommitted):
            act()

    return meanwhile


def play(folder: Path, cluster: LocalCluster, topology: str, **more: Any) -> Rendered:
    return render(folder / "runs", document(folder / "out", videos=2, count=3), topology, cluster, **more)


def test_workers_land_on_different_nodes(tmp_path: Path, serial_films: Callable[..., Films]) -> None:
    rendered = play(tmp_path, LocalCluster(nodes(3)), "sample=1,upscale=1,decode=1,segment=1")
    assert rendered.films == serial_films(videos=2, count=3)
    placed = {event.worker: event.node for event in rendered.of(WorkerPlaced)}
    gpu_workers = [worker for worker in placed if not worker.startswith("segment")]
    assert len({placed[worker] for worker in gpu_workers}) == len(gpu_workers) == 3


def test_what_ran_on_a_node_that_dies_runs_on_the_others(
    tmp_path: Path, serial_films: Callable[..., Films]
) -> None:
    """Results that waited in its memory are read from the store."""
    cluster = LocalCluster(nodes(3))

    def lose() -> None:
        node = cluster.process("encode+sample-0").node
        assert node is not None
        cluster.lose(node.id)

    rendered = play(tmp_path, cluster, HALVES, meanwhile=on_commit(5, lose))
    assert (rendered.outcome, rendered.films) == (DONE, serial_films(videos=2, count=3))
    gone = {event.worker for event in rendered.of(WorkerGone)}
    assert "encode+sample-0" in gone
    assert all("its node died" in event.reason for event in rendered.of(WorkerGone))
    committed = [event.task for event in rendered.of(TaskCommitted)]
    assert len(committed) == len(set(committed))


def test_a_node_that_comes_back_in_time_goes_on(tmp_path: Path, serial_films: Callable[..., Films]) -> None:
    cluster, gpu = LocalCluster(nodes(1), local=False), nodes(1)[-1]

    def away() -> None:
        cluster.lose(gpu.id)
        cluster.clock.after(30.0, lambda: cluster.join(gpu))

    patience = Patience(node_s=60.0)
    rendered = play(tmp_path, cluster, "mono=1", meanwhile=on_commit(5, away), patience=patience)
    assert (rendered.outcome, rendered.films) == (DONE, serial_films(videos=2, count=3))
    said = [event.message for event in rendered.of(Notice) if "no sign of" in event.message]
    assert len(said) == 1
    assert "no sign of a node that can hold mono-0 (1 GPU)" in said[0]


def test_a_node_that_stays_away_pauses_the_job(tmp_path: Path, serial_films: Callable[..., Films]) -> None:
    cluster = LocalCluster(nodes(1), local=False)
    rendered = play(tmp_path, cluster, "mono=1", meanwhile=on_commit(5, lambda: cluster.lose("n0")))
    assert rendered.outcome == PAUSED
    assert "no sign of a node that can hold mono-0" in rendered.reason
    before = {event.task for event in rendered.of(TaskCommitted)}
    rest = play(tmp_path, LocalCluster(nodes(1)), "mono=1")
    assert (rest.outcome, rest.films) == (DONE, serial_films(videos=2, count=3))
    assert before.isdisjoint(event.task for event in rest.of(TaskStarted))


def test_the_loss_of_the_renders_own_cluster_pauses_the_job_at_once(tmp_path: Path) -> None:
    cluster = LocalCluster(nodes(1))
    begun_s = cluster.now_s()
    rendered = play(tmp_path, cluster, "mono=1", meanwhile=on_commit(5, lambda: cluster.lose("n0")))
    assert rendered.outcome == PAUSED
    assert "this render's own Ray has failed: no sign of a node" in rendered.reason
    assert cluster.now_s() - begun_s < 30.0


def test_a_head_that_falls_silent_pauses_the_job(tmp_path: Path, serial_films: Callable[..., Films]) -> None:
    cluster = LocalCluster(nodes(1), local=False, seconds=lambda _worker, _task: 10.0)

    def silent() -> None:
        cluster.listening = False

    rendered = play(tmp_path, cluster, "mono=1", meanwhile=on_commit(3, silent))
    assert rendered.outcome == PAUSED
    assert "no sign of the Ray head at here:6379 for 4" in rendered.reason
    rest = play(tmp_path, LocalCluster(nodes(1)), "mono=1")
    assert (rest.outcome, rest.films) == (DONE, serial_films(videos=2, count=3))


def test_a_node_that_is_drained_finishes_what_runs_and_gets_nothing_new(
    tmp_path: Path, serial_films: Callable[..., Films]
) -> None:
    """It goes away twenty seconds later, when nothing is left on it that could be lost."""
    cluster = LocalCluster(nodes(2), seconds=lambda _worker, _task: 3.0)
    drained_s: list[float] = []

    def drain() -> None:
        drained_s.append(cluster.now_s())
        cluster.drain("n0")
        cluster.clock.after(20.0, lambda: cluster.lose("n0"))

    started: list[tuple[float, str]] = []
    drains = on_commit(5, drain)

    def meanwhile(event: Event) -> None:
        drains(event)
        if isinstance(event, TaskStarted):
            started.append((cluster.now_s(), event.worker))

    rendered = play(tmp_path, cluster, "mono=2,segment=1", meanwhile=meanwhile)
    assert (rendered.outcome, rendered.films) == (DONE, serial_films(videos=2, count=3))
    on_it = {event.worker for event in rendered.of(WorkerPlaced) if event.node.startswith("n0/")}
    gone = {event.worker: event.lost for event in rendered.of(WorkerGone)}
    assert on_it
    assert on_it <= gone.keys()
    assert not any(gone.values())
    suspended = [event.worker for event in rendered.of(WorkerSuspended) if "goes away soon" in event.reason]
    assert sorted(suspended) == sorted(on_it)
    late = {worker for at_s, worker in started if drained_s[0] + 2.0 < at_s < drained_s[0] + 20.0}
    assert late
    assert not late & on_it


def test_the_only_node_is_drained_and_another_comes(
    tmp_path: Path, serial_films: Callable[..., Films]
) -> None:
    cluster = LocalCluster(nodes(1), local=False, seconds=lambda _worker, _task: 3.0)
    other = NodeFacts("n7", "n7", 1, 2)

    def drain() -> None:
        cluster.drain("n0")
        cluster.clock.after(20.0, lambda: cluster.lose("n0"))
        cluster.clock.after(50.0, lambda: cluster.join(other))

    rendered = play(tmp_path, cluster, "mono=1", meanwhile=on_commit(5, drain))
    assert (rendered.outcome, rendered.films) == (DONE, serial_films(videos=2, count=3))
    assert not any(event.lost for event in rendered.of(WorkerGone))

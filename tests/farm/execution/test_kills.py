"""A process of each stage dies, alone or with its node, in the middle of a task or once it is committed.

`tests/ray/faults/test_kill_matrix.py` kills real processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.inventory import NodeFacts
from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash
from farm.events import TaskStarted, WorkerGone
from farm.state.job_state import DONE
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import document, load

STAGED = "sample=1,upscale=1,decode=1,segment=1"
MONO = "mono=2,segment=1"
MIDDLE, COMMITTED = Crash(0.5), Crash(1.0, zombie_s=0.0)
NODES = [NodeFacts(f"n{n}", f"n{n}", 1, 2) for n in range(4)]


def victims(folder: Path) -> list[str]:
    """A task of each stage, not the first of it: so there is something to lose."""
    tasks = build_graph(make_plan(load(document(folder, videos=2, count=3)).spec)).tasks.values()
    last = {task.stage: task.id for task in tasks if task.id.startswith(("take1/00001", "encode"))}
    return list(last.values())


@pytest.mark.parametrize("topology", [STAGED, MONO])
@pytest.mark.parametrize("whole_node", [False, True], ids=["worker", "node"])
@pytest.mark.parametrize("moment", [MIDDLE, COMMITTED], ids=["in the middle", "just committed"])
def test_the_film_is_the_same_and_nothing_committed_is_computed_again(
    tmp_path: Path,
    serial_films: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    moment: Crash,
    whole_node: bool,
    topology: str,
) -> None:
    trace, hit = tmp_path / "trace", victims(tmp_path / "out")
    monkeypatch.setenv("FARM_TRACE", str(trace))
    crash = Crash(moment.after_s, whole_host=whole_node, zombie_s=moment.zombie_s)
    cluster = LocalCluster(NODES, fates=Dooms(*(Doom(task, crash) for task in hit)))
    rendered = render(tmp_path / "runs", document(tmp_path / "out", videos=2, count=3), topology, cluster)
    assert (rendered.outcome, rendered.films) == (DONE, serial_films(videos=2, count=3))
    assert len(hit) == 5
    assert set(hit) <= {lost.task for event in rendered.of(WorkerGone) for lost in event.lost}
    done: set[str] = set()
    for line in map(json.loads, trace.read_text().splitlines()):
        assert line["event"] == "end" or line["task"] not in done, "a committed task was computed again"
        done |= {line["task"]} if line["event"] == "end" else set()
    if moment is MIDDLE:
        started = [event.task for event in rendered.of(TaskStarted)]
        assert all(started.count(task) == 2 for task in hit)

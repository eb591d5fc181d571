from __future__ import annotations

import pytest

from farm.session.selection import to_compute, within
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph


@pytest.fixture(scope="module")
def graph() -> TaskGraph:
    spec = {
        "name": "j",
        "engine": {"name": "fake"},
        "videos": [
            {
                "name": "v",
                "chunks": [
                    {"generate": {"prompt": "a", "num_frames": 49}},
                    {"extend": {"prompt": "b", "num_new_frames": 40, "repeat": 2}},
                ],
            }
        ],
    }
    return build_graph(make_plan(JobSpec.model_validate(spec)))


def digests(graph: TaskGraph) -> dict[str, str]:
    return {task: f"digest of {task}" for task in graph.tasks}


def names(graph: TaskGraph, *tasks: str) -> set[str]:
    return {digests(graph)[task] for task in tasks}


def test_everything_without_commits(graph: TaskGraph) -> None:
    assert to_compute(graph, digests(graph), (), ()) == list(graph.tasks)


def test_nothing_when_all_is_committed(graph: TaskGraph) -> None:
    assert to_compute(graph, digests(graph), set(digests(graph).values()), ()) == []


def test_evicted_frames_are_not_made_again_for_nobody(graph: TaskGraph) -> None:
    frames = {task for task in graph.tasks if task.endswith("decode")}
    committed = names(graph, *(set(graph.tasks) - frames))
    assert to_compute(graph, digests(graph), committed, names(graph, *frames)) == []


def test_evicted_frames_are_made_again_for_a_lost_segment(graph: TaskGraph) -> None:
    frames = {task for task in graph.tasks if task.endswith("decode")}
    committed = names(graph, *(set(graph.tasks) - frames - {"v/00001/segment"}))
    assert to_compute(graph, digests(graph), committed, names(graph, *frames)) == [
        "v/00000/decode",
        "v/00001/decode",
        "v/00001/segment",
    ]


def test_a_lost_latent_is_rendered_again_even_if_nobody_reads_it(graph: TaskGraph) -> None:
    committed = names(graph, *(set(graph.tasks) - {"v/00000/sample"}))
    assert to_compute(graph, digests(graph), committed, ()) == ["v/00000/sample"]


def test_until_leaves_later_stages_out(graph: TaskGraph) -> None:
    todo = to_compute(graph, digests(graph), (), (), Stage.SAMPLE)
    assert todo == within(graph, Stage.SAMPLE)
    assert {graph.tasks[task].stage for task in todo} == {Stage.ENCODE, Stage.SAMPLE}

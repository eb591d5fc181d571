"""Tasks of equal digests: which one is computed, and who needs it."""

from __future__ import annotations

from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.duplicates import Duplicates, find_duplicates
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph

MOODS = ("calm", "wild", "odd")


def graph_of(*prompts: str) -> TaskGraph:
    """Three videos of a matrix; `{mood}` differs between them."""
    first, *others = prompts
    chunks = [
        {"generate": {"prompt": first, "num_frames": 33}},
        *({"extend": {"prompt": text, "num_new_frames": 24}} for text in others),
    ]
    spec = JobSpec.model_validate(
        {
            "version": 1,
            "name": "j",
            "engine": {"name": "fake"},
            "videos": [{"name": "v", "chunks": chunks}],
            "matrix": {"mood": list(MOODS)},
            "output": {"dir": "out"},
        }
    )
    return build_graph(make_plan(spec))


def duplicates_of(graph: TaskGraph) -> Duplicates:
    return find_duplicates(digests(graph, Fingerprint({}, {}, {path: path for path in input_files(graph)})))


def count(graph: TaskGraph, tasks: list[str], stage: Stage) -> int:
    return sum(graph.tasks[task].stage is stage for task in tasks)


def test_what_is_equal_in_all_videos_is_computed_once() -> None:
    graph = graph_of("a", "b", "it ends {mood}")
    duplicates = duplicates_of(graph)
    todo = duplicates.without(list(graph.tasks))
    assert count(graph, todo, Stage.SAMPLE) == 2 + len(MOODS)
    assert count(graph, todo, Stage.SEGMENT) == 2 + len(MOODS)
    assert duplicates.family("v-mood-wild/00000/sample") == tuple(
        f"v-mood-{mood}/00000/sample" for mood in MOODS
    )
    assert duplicates.family("v-mood-wild/00002/sample") == ("v-mood-wild/00002/sample",)


def test_needs_of_a_merged_graph_are_the_first_of_their_twins() -> None:
    graph = graph_of("a", "b", "it ends {mood}")
    duplicates = duplicates_of(graph)
    merged = duplicates.merged(graph)
    computed = set(duplicates.without(list(merged.tasks)))
    assert list(merged.tasks) == list(graph.tasks)
    for task in merged.tasks.values():
        assert {need.task for need in task.needs} <= computed
    assert set(merged.dependents["v-mood-calm/00001/sample"]) == {
        *(f"v-mood-{mood}/00002/{stage}" for mood in MOODS for stage in ("sample", "decode")),
        *(f"v-mood-{mood}/00001/decode" for mood in MOODS),
    }
    assert merged.dependents["v-mood-wild/00001/sample"] == ()


def test_nothing_changes_where_all_differ() -> None:
    graph = graph_of("so {mood}", "b")
    duplicates = duplicates_of(graph)
    assert duplicates == Duplicates()
    assert duplicates.merged(graph) is graph
    assert duplicates.without(list(graph.tasks)) == list(graph.tasks)

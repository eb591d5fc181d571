"""Which results a retry voids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobs.errors import UsageError
from jobs.planning.choices import with_overrides
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.retry import RetryState, Selection, parse_chunks, plan_retry

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.tasks.task import TaskGraph

EXTEND = {"extend": {"prompt": "b", "num_new_frames": 32, "overlap_frames": 16}}
GENERATE = {"generate": {"prompt": "a", "num_frames": 33}}


@pytest.fixture
def plan() -> Plan:
    spec: dict[str, Any] = {
        "version": 1,
        "name": "harbor",
        "videos": [
            {"name": "dawn", "chunks": [GENERATE, EXTEND, EXTEND, GENERATE, EXTEND]},
            {"name": "noon", "chunks": [GENERATE, EXTEND]},
        ],
    }
    return make_plan(JobSpec.model_validate(spec))


@pytest.fixture
def graph(plan: Plan) -> TaskGraph:
    return build_graph(plan)


def ids(video: str, chunks: str, stages: str) -> set[str]:
    names = {"s": "sample", "d": "decode", "g": "segment"}
    return {f"{video}/{int(chunk):05d}/{names[stage]}" for chunk in chunks for stage in stages}


def test_a_chunk_takes_the_rest_of_its_chain_along(plan: Plan, graph: TaskGraph) -> None:
    retry = plan_retry(plan, graph, Selection(frozenset({"dawn"}), frozenset({1})))
    assert set(retry.chosen) == ids("dawn", "1", "sdg")
    assert set(retry.closure) == ids("dawn", "12", "sdg")
    assert retry.videos == ("dawn",)
    assert retry.seeds == ()


def test_the_last_chunk_of_a_shot_stands_alone(plan: Plan, graph: TaskGraph) -> None:
    retry = plan_retry(plan, graph, Selection(frozenset({"dawn"}), frozenset({2})))
    assert set(retry.closure) == ids("dawn", "2", "sdg")


def test_evicted_frames_are_decoded_again(plan: Plan, graph: TaskGraph) -> None:
    evicted = ids("dawn", "01234", "d") | ids("noon", "01", "d")
    retry = plan_retry(plan, graph, Selection(frozenset({"dawn"}), frozenset({2})), evicted=evicted)
    assert retry.again == ("dawn/00001/decode",)
    assert len(retry.closure) + len(retry.again) == 4


def test_without_a_choice_everything_is_rendered_again(plan: Plan, graph: TaskGraph) -> None:
    retry = plan_retry(plan, graph, Selection())
    assert set(retry.closure) == {task for task in graph.tasks if not task.startswith("encode/")}
    assert retry.videos == ("dawn", "noon")


def test_only_failed_tasks_and_what_hangs_on_them(plan: Plan, graph: TaskGraph) -> None:
    failed = Selection(state=RetryState.FAILED)
    retry = plan_retry(plan, graph, failed, {"dawn/00002/decode"})
    assert set(retry.closure) == ids("dawn", "2", "dg")
    with pytest.raises(UsageError, match="no chosen chunk is failed"):
        plan_retry(plan, graph, failed)
    with pytest.raises(UsageError):
        plan_retry(
            plan, graph, Selection(frozenset({"noon"}), state=RetryState.FAILED), {"dawn/00002/decode"}
        )


def test_new_seeds_go_to_the_chosen_chunks_alone_and_never_repeat(plan: Plan, graph: TaskGraph) -> None:
    choice = Selection(frozenset({"dawn"}), frozenset({1}), reseed=True)
    first = plan_retry(plan, graph, choice)
    (new,) = first.seeds
    assert (new.video, new.chunk) == ("dawn", 1)
    chunk = plan.videos[0].chunks[1]
    again = with_overrides(plan, {("dawn", chunk.decode_seed): new.seed}, {})
    second = plan_retry(again, build_graph(again), choice)
    assert len({chunk.seed, new.seed, second.seeds[0].seed}) == 3


def test_a_reseeded_failure_starts_from_its_sample(plan: Plan, graph: TaskGraph) -> None:
    choice = Selection(state=RetryState.FAILED, reseed=True)
    retry = plan_retry(plan, graph, choice, {"dawn/00002/decode"})
    assert set(retry.closure) == ids("dawn", "2", "sdg")


@pytest.mark.parametrize(
    ("text", "chunks"), [("3", {3}), ("3-5,8", {3, 4, 5, 8}), (" 0 , 2-2 ", {0, 2}), ("", set())]
)
def test_chunk_ranges(text: str, chunks: set[int]) -> None:
    assert parse_chunks(text) == chunks


@pytest.mark.parametrize("text", ["a", "5-3", "-1", "1-", "1.5", "9999999999"])
def test_chunk_ranges_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="--chunks"):
        parse_chunks(text)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(videos=frozenset({"dusk"})), "write dawn or noon"),
        (Selection(chunks=frozenset({5})), "numbered 0 to 4"),
        (Selection(frozenset({"noon"}), frozenset({4})), "numbered 0 to 1"),
    ],
)
def test_what_is_not_there_is_named(plan: Plan, graph: TaskGraph, selection: Selection, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_retry(plan, graph, selection)
